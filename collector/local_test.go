package collector

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetcron/fleetcron/shared/api"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

func TestWhoOwnsACollectorCanMakeAToken(t *testing.T) {
	cfg, kit := founded(t)
	if _, err := MakeToken(t.Context(), cfg, "rescue", time.Hour); fleet.KindOf(err) != fleet.Unavailable {
		t.Errorf("of a collector that does not run: %v", err)
	}
	start(t, cfg)
	client := admin(t, kit)
	if _, err := client.Cluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its user alone reaches the socket", func(context.Context) bool {
		info, err := os.Stat(filepath.Join(cfg.DataDir, socketFile))
		return err == nil && info.Mode().Perm() == 0o600
	})
	eventually(t, "it leads", voters(client, 1))
	text, err := MakeToken(t.Context(), cfg, "rescue", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(kit.Dir, "token"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	rescued := admin(t, kit)
	tokens, err := rescued.Tokens(t.Context())
	if err != nil || len(tokens.Items) != 2 {
		t.Fatalf("%+v, %v", tokens.Items, err)
	}
	list, err := rescued.Audit(t.Context(), api.AuditQuery{Action: "token.put", Newest: true})
	if err != nil || len(list.Items) == 0 || list.Items[0].By.String() != "system c1" || !strings.Contains(list.Items[0].Why, "by uid") {
		t.Errorf("audit %+v, %v", list.Items, err)
	}
	if _, err := MakeToken(t.Context(), cfg, "rescue", 10*8760*time.Hour); err == nil {
		t.Error("a token for ten years")
	}
}
