package fleet

import "testing"

// TestIdentity: both at once are what each is alone.
func TestIdentity(t *testing.T) {
	for _, command := range []string{"", "run it", "  run \t it  ", "echo 'a  b'  c"} {
		id, fingerprint := Identity(KindCron, "/etc/crontab", "root", command)
		if want := NewJobID(KindCron, "/etc/crontab", "root", command, 0); id != want || fingerprint != CommandFingerprint(command) {
			t.Errorf("%q: %s, %s; want %s, %s", command, id, fingerprint, want, CommandFingerprint(command))
		}
	}
}
