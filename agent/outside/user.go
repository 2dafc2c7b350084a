package outside

import (
	"os"
	"os/user"
	"strconv"
)

// User is who this part is where each part is a process of its own.
const User = "fleetcron-agent"

// Owner returns the uid of that user, whose files root's are that this part
// needs; zero: there is no such user, or this process is not root.
func Owner() int {
	if os.Geteuid() != 0 {
		return 0
	}
	found, err := user.Lookup(User)
	if err != nil {
		return 0
	}
	uid, err := strconv.Atoi(found.Uid)
	if err != nil {
		return 0
	}
	return uid
}
