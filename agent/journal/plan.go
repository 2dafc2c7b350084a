package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/fleetcron/fleetcron/agent/durable"
	"github.com/fleetcron/fleetcron/shared/fleet"
)

const (
	planName    = "plan.json"
	planHeading = "fleetcron plan 1 crc32c "
)

// SavePlan makes the plan durable in place of the one before: after a crash
// there is the one or the other. It may be called while the journal is in use,
// by one goroutine at a time.
func (j *Journal) SavePlan(plan *fleet.Plan) error {
	text, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	j.want(plan, true)
	heading := fmt.Sprintf("%s%08x\n", planHeading, crc32.Checksum(text, castagnoli))
	if err := durable.Replace(filepath.Join(j.dir, planName), append([]byte(heading), text...)); err != nil {
		return fmt.Errorf("save plan: %w", err)
	}
	j.want(plan, false)
	return nil
}

// want notes which orders may come again with the plan on disk: beside those of
// the plan before as long as that may be there.
func (j *Journal) want(plan *fleet.Plan, beside bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	wanted := make(map[fleet.OrderID]bool, len(plan.Orders))
	if beside {
		if j.wanted == nil {
			return // all are
		}
		maps.Copy(wanted, j.wanted)
	}
	for i := range plan.Orders {
		wanted[plan.Orders[i].ID] = true
	}
	j.wanted = wanted
}

// LoadPlan returns the plan saved last, and nil when there is none. A plan
// that cannot be read is set aside: a collector has it.
func (j *Journal) LoadPlan() (*fleet.Plan, error) {
	plan, err := readPlan(j.dir)
	switch {
	case err == nil:
		j.want(plan, false)
		return plan, nil
	case errors.Is(err, fs.ErrNotExist):
		j.want(new(fleet.Plan), false)
		return nil, nil
	}
	path := filepath.Join(j.dir, planName)
	j.log.Warn("saved plan set aside", "plan", path, "error", err)
	j.mu.Lock()
	j.stats.Damaged++
	j.mu.Unlock()
	return nil, os.Rename(path, path+damagedSuffix)
}

func readPlan(dir string) (*fleet.Plan, error) {
	text, err := os.ReadFile(filepath.Join(dir, planName))
	if err != nil {
		return nil, err
	}
	heading, body, _ := bytes.Cut(text, []byte("\n"))
	var sum uint32
	if _, err := fmt.Sscanf(string(heading), planHeading+"%08x", &sum); err != nil || sum != crc32.Checksum(body, castagnoli) {
		return nil, errors.New("checksum does not match")
	}
	plan := new(fleet.Plan)
	if err := json.Unmarshal(body, plan); err != nil {
		return nil, err
	}
	return plan, nil
}
