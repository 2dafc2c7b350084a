package seal

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestPublicTextAndBack(t *testing.T) {
	key := keyOf("anna").Public()
	text := PublicText(key)
	got, err := ParsePublic(text)
	if err != nil || !got.Equal(key) {
		t.Errorf("%s is read as %x, %v", text, got, err)
	}
	for _, bad := range []string{"", "fck1.", text[5:], text + "A", text[:len(text)-1], "fck2." + text[5:], text + "\n", " " + text, text[:len(text)-1] + "B", "ssh-ed25519 AAAA"} {
		if _, err := ParsePublic(bad); fleet.KindOf(err) != fleet.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestASecretKeyIsNotToldAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := keyOf("anna").Save(path); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	secret := strings.TrimSpace(string(text))
	_, err := ParsePublic(secret)
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "secret key") {
		t.Errorf("%v", err)
	}
	for _, printed := range []string{fmt.Sprint(keyOf("anna")), fmt.Sprintf("%#v %+v %s", keyOf("anna"), keyOf("anna"), keyOf("anna"))} {
		if strings.Contains(printed, "private") || !strings.Contains(printed, KeyID(keyOf("anna").Public())) {
			t.Errorf("a key prints as %s", printed)
		}
	}
}

// TestWeakKeysAreNone forges a signature for each of them first.
func TestWeakKeysAreNone(t *testing.T) {
	identity := make([]byte, ed25519.SignatureSize)
	identity[0] = 1
	for _, text := range weak {
		for _, sign := range []byte{0, 0x80} {
			key, _ := hex.DecodeString(text)
			key[31] |= sign
			forged := 0
			for i := range 256 {
				if ed25519.Verify(key, fmt.Append(nil, "message ", i), identity) {
					forged++
				}
			}
			_, err := ParsePublic(PublicText(key))
			if fleet.KindOf(err) != fleet.Invalid {
				t.Errorf("%x is a key, with %d forged signatures", key, forged)
			}
			if forged == 0 && text != weak[5] && text != weak[6] && (text != weak[1] && text != weak[4] || sign == 0) {
				t.Errorf("%x is not weak", key)
			}
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "operator.key")
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Save(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	got, err := LoadKey(path)
	if err != nil || !got.Public().Equal(key.Public()) {
		t.Errorf("%v, %v", got, err)
	}
	if err := keyOf("ben").Save(path); fleet.KindOf(err) != fleet.Conflict {
		t.Errorf("a second key: %v", err)
	}
	if got, err = LoadKey(path); err != nil || !got.Public().Equal(key.Public()) {
		t.Errorf("after it: %v, %v", got, err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("%v are left", files)
	}
	if err := (Key{}).Save(path + "2"); err == nil {
		t.Error("no key is saved")
	}
	if err := key.Save(filepath.Join(path, "x")); err == nil {
		t.Error("saved below a file")
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	saved := filepath.Join(dir, "saved")
	if err := keyOf("anna").Save(saved); err != nil {
		t.Fatal(err)
	}
	good, _ := os.ReadFile(saved)
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path string
		kind fleet.Kind
		want string
	}{
		{filepath.Join(dir, "absent"), fleet.Usage, "no such file"},
		{write("loose", string(good), 0o640), fleet.Refused, "mode 0640"},
		{write("open", string(good), 0o604), fleet.Refused, "mode 0604"},
		{dir, fleet.Refused, "no regular file"},
		{fifo, fleet.Refused, "no regular file"},
		{write("empty", "", 0o600), fleet.Invalid, "holds no key"},
		{write("public", PublicText(keyOf("anna").Public()), 0o600), fleet.Invalid, "holds no key"},
		{write("long", string(good)+string(good), 0o600), fleet.Invalid, "holds no key"},
		{write("short", string(good[:20]), 0o600), fleet.Invalid, "holds no key"},
	} {
		_, err := LoadKey(test.path)
		if fleet.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.path, err, test.want)
		}
	}
	if os.Geteuid() == 0 {
		foreign := write("foreign", string(good), 0o600)
		if err := os.Chown(foreign, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKey(foreign); fleet.KindOf(err) != fleet.Refused || !strings.Contains(err.Error(), "uid 12345") {
			t.Errorf("somebody else's key: %v", err)
		}
	}
}

func TestSerial(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	clock := uint64(now.UnixMilli())
	day := uint64(MaxAhead.Milliseconds())
	for _, test := range []struct{ previous, want uint64 }{
		{0, clock}, {clock - 5, clock}, {clock, clock + 1}, {clock + 7, clock + 8}, {clock + day - 1, clock + day},
		{clock + day, 0}, {1<<64 - 2, 0}, {1<<64 - 1, 0},
	} {
		got, err := Serial(test.previous, now)
		if got != test.want || (err == nil) != (test.want != 0) || err != nil && fleet.KindOf(err) != fleet.Conflict {
			t.Errorf("after %d: %d, %v; want %d", test.previous, got, err, test.want)
		}
	}
	s := sample(KindTask)
	s.Issued = now
	for _, previous := range []uint64{0, clock, clock + day - 1} {
		s.Serial, _ = Serial(previous, now)
		if err := s.Validate(); err != nil {
			t.Errorf("a serial after %d is not valid: %v", previous, err)
		}
	}
}
