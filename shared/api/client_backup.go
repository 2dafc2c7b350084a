package api

import (
	"context"
	"io"
	"net/http"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Backup copies a backup of everything that the collectors keep to w. One that
// breaks off is an Unavailable error.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	reply, err := c.send(ctx, call{method: http.MethodGet, path: PathBackup, open: true, header: http.Header{"Accept": {MediaOutput}}})
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if _, err := io.Copy(w, reply.Body); err != nil {
		return &fleet.Error{Kind: fleet.Unavailable, Message: "the backup broke off", Err: err, Hint: "take another one"}
	}
	return nil
}
