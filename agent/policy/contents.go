package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
)

// contents remembers what files hold as long as nobody has written to them. Its
// zero value knows none.
type contents struct {
	known map[string]content
}

// content is what a file held when it was like this.
type content struct {
	device, inode uint64
	size          int64
	written, told syscall.Timespec // of the content, and of the inode: the second cannot be set by anybody
	digest        string
}

func (c *content) like(other *content) bool {
	return c.device == other.device && c.inode == other.inode && c.size == other.size && c.written == other.written && c.told == other.told
}

// digest returns the SHA-256 of a file, in hex.
func (c *contents) digest(name string) (string, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &stat); err != nil {
		return "", err
	}
	now := content{device: stat.Dev, inode: stat.Ino, size: stat.Size, written: stat.Mtim, told: stat.Ctim}
	if was, known := c.known[name]; known && was.like(&now) {
		return was.digest, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	now.digest = hex.EncodeToString(sum.Sum(nil))
	if c.known == nil {
		c.known = map[string]content{}
	}
	c.known[name] = now
	return now.digest, nil
}

// judgeContents refuses a program whose file holds something else than the
// policy says. Then it must also be safe from the user that it runs as: else he
// might put another one there after it was looked at.
func (b *bench) judgeContents(c *Command, program string) *objection {
	if c.SHA256 == nil {
		return nil
	}
	file, err := resolve(program, noUser)
	if errors.Is(err, errMissing) {
		return nil // what is not there, nobody runs
	}
	object := func(format string, args ...any) *objection {
		return &objection{policyCode + "sha256", fmt.Sprintf(format, args...), c.line}
	}
	if err != nil {
		return object("%s is not safe from its user, so its contents prove nothing: %v", program, err)
	}
	digest, err := b.policy.files.digest(file)
	switch {
	case err != nil:
		return object("what %s holds cannot be read: %v", program, err)
	case !slices.Contains(c.SHA256, digest):
		return object("%s holds something else than the policy wants: its SHA-256 is %s", program, digest)
	}
	return nil
}

// noUser is the number of no user.
const noUser = -1
