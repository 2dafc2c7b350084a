package collector

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/backup"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// eventually asks until it is so.
func eventually(t *testing.T, what string, is func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

// voters counts who votes, as one that is asked sees it.
func voters(client *api.Client, n int) func(context.Context) bool {
	return func(ctx context.Context) bool {
		cluster, err := client.Cluster(ctx)
		voting := 0
		for _, c := range cluster.Collectors {
			if c.Voter && c.Reachable && c.API != "" {
				voting++
			}
		}
		return err == nil && voting == n
	}
}

func TestACollectorEnrolsAndJoinsByItself(t *testing.T) {
	first, kit := founded(t)
	start(t, first)
	client := admin(t, kit)
	second := place(t, "c2")
	enrol := func(token api.NewJoinToken) error {
		made, err := client.MakeJoinToken(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := pki.ParseJoinSecret(made.Secret)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Enroll(t.Context(), second, secret, []string{first.apiURL()})
		return err
	}
	if err := enrol(api.NewJoinToken{Collector: "c9"}); codeOf(err) != "collector_id_mismatch" {
		t.Errorf("with a token of c9: %v", err)
	}
	if err := enrol(api.NewJoinToken{}); codeOf(err) != "role_not_allowed" {
		t.Errorf("with an agent's token: %v", err)
	}
	if err := enrol(api.NewJoinToken{Collector: "c2"}); err != nil {
		t.Fatal(err)
	}
	if err := enrol(api.NewJoinToken{Collector: "c2"}); codeOf(err) != "exists" {
		t.Errorf("a second time: %v", err)
	}
	if read(t, first.keyFile()) != read(t, second.keyFile()) {
		t.Error("the gossip keys differ")
	}
	if _, err := os.Stat(filepath.Join(second.identityDir(), "root.key")); !os.IsNotExist(err) {
		t.Errorf("the root key went to c2: %v", err)
	}
	start(t, second)
	eventually(t, "two voters", voters(client, 2))
	enrolAgent(t, second, client)
	if _, err := client.ChangeNode(t.Context(), "c2", api.NodeChange{State: fleet.NodeRevoked, Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one voter", voters(client, 1))
	thief, err := pki.LoadCredentials(second.identityDir())
	if err != nil {
		t.Fatal(err)
	}
	back, err := api.NewClient(api.Config{Addresses: []string{first.apiURL()}, TLS: thief.ClientTLS(pki.PlanePeer, pki.RoleCollector), Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if _, err := back.GossipTicket(t.Context()); err == nil || !strings.Contains(err.Error(), "does not let this certificate in") {
		t.Errorf("a revoked collector: %v", err)
	}
}

func TestACollectorSignedByHand(t *testing.T) {
	first, kit := founded(t)
	root := filepath.Join(t.TempDir(), "root.key")
	if err := os.Rename(kit.RootKey, root); err != nil {
		t.Fatal(err)
	}
	start(t, first)
	client := admin(t, kit)
	second := place(t, "c2")
	made, err := client.MakeJoinToken(t.Context(), api.NewJoinToken{Collector: "c2"})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := pki.ParseJoinSecret(made.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Enroll(t.Context(), second, secret, []string{first.apiURL()}); codeOf(err) != "root_key_offline" {
		t.Fatalf("without the root key: %v", err)
	}
	tokens, err := client.JoinTokens(t.Context())
	if err != nil || len(tokens.Items) != 1 || !tokens.Items[0].Used.IsZero() {
		t.Errorf("the token was used in vain: %+v, %v", tokens.Items, err)
	}
	request, err := WriteRequest(second)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Issue(root, filepath.Join(kit.Dir, "ca.pem"), request, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []ByHand{request, answer} {
		if strings.Contains(file.Request+file.Chain+file.Intermediate+file.CA, "PRIVATE KEY") {
			t.Error("a private key travels")
		}
	}
	if err := TakeIssued(second, answer, []string{first.apiURL()}); err != nil {
		t.Fatal(err)
	}
	if err := TakeIssued(second, answer, nil); err == nil {
		t.Error("an answer is taken twice")
	}
	start(t, second) // it fetches the gossip key itself
	eventually(t, "two voters", voters(client, 2))
	eventually(t, "a node that can be revoked", func(ctx context.Context) bool {
		node, err := client.Node(ctx, "c2")
		return err == nil && node.State == fleet.NodeActive
	})
}

func TestAttack10_AnswersOfAnotherCluster(t *testing.T) {
	first, kit := founded(t)
	_, other := founded(t)
	request, err := WriteRequest(first)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Issue(other.RootKey, filepath.Join(other.Dir, "ca.pem"), request, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := TakeIssued(first, answer, nil); codeOf(err) != "other_cluster" {
		t.Errorf("%v", err)
	}
	if _, err := Issue(kit.RootKey, filepath.Join(other.Dir, "ca.pem"), request, time.Now()); err == nil || !strings.Contains(err.Error(), "is not the certificate of the root key") {
		t.Errorf("%v", err)
	}
}

func TestAttack111_BackupOfAnotherCluster(t *testing.T) {
	first, kit := founded(t)
	stop := begin(t, first)
	client := admin(t, kit)
	var file bytes.Buffer
	eventually(t, "a backup", func(ctx context.Context) bool {
		file.Reset()
		return client.Backup(ctx, &file) == nil
	})
	stop()
	stranger := place(t, "c1")
	if _, err := Restore(stranger, bytes.NewReader(file.Bytes())); codeOf(err) != "no_identity" {
		t.Errorf("without an identity: %v", err)
	}
	if _, err := Init(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	if err := keepIdentity(stranger); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(stranger, bytes.NewReader(file.Bytes())); codeOf(err) != "other_cluster" || !strings.Contains(err.Error(), "snapshot cluster mismatch") {
		t.Errorf("with another cluster's: %v", err)
	}
	damaged := bytes.Clone(file.Bytes())
	damaged[len(damaged)/2] ^= 1
	again := place(t, "c1")
	if err := os.CopyFS(again.identityDir(), os.DirFS(first.identityDir())); err != nil {
		t.Fatal(err)
	}
	if err := private(again.identityDir()); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(again, bytes.NewReader(damaged)); err == nil {
		t.Error("a damaged backup was taken")
	}
	header, word, content, err := backup.Open(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var anew bytes.Buffer
	header.Index++
	if err := backup.Write(&anew, header, all(content), func([]byte) ([]byte, error) { return word.Text, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(again, bytes.NewReader(anew.Bytes())); codeOf(err) != "backup_unsigned" {
		t.Errorf("one that somebody wrote anew: %v", err)
	}
	if header, err := Restore(again, bytes.NewReader(file.Bytes())); err != nil || header.Cluster != kit.Cluster {
		t.Fatalf("its own: %v", err)
	}
	start(t, again)
	back, err := api.NewClient(api.Config{
		Addresses: []string{again.apiURL()}, Token: strings.TrimSpace(read(t, kit.Dir, "token")), TLS: pki.RootTLS(rootIn(t, kit), kit.Cluster, pki.PlaneOperator), Rounds: 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if cluster, err := back.Cluster(t.Context()); err != nil || cluster.ID != kit.Cluster {
		t.Errorf("after the restore: %+v, %v", cluster, err)
	}
}

// all is what a reader gives, to be written.
func all(r io.Reader) io.WriterTo { return bufio.NewReader(r) }

// keepIdentity leaves of a data directory who the collector is.
func keepIdentity(cfg Config) error {
	entries, err := os.ReadDir(cfg.DataDir)
	for _, entry := range entries {
		if entry.Name() != "identity" {
			err = os.RemoveAll(filepath.Join(cfg.DataDir, entry.Name()))
		}
	}
	return err
}

// private gives copied files the modes that they had.
func private(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
}
