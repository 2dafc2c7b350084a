package discover

import (
	"errors"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

var errNoRights = errors.New("the rights of another user cannot be taken on here")

// become gives up, until the goroutine that calls it ends, all rights to files
// that the user has not: the kernel then refuses what the user may not read,
// whatever links, hard links and mounts lead to it. It works for root only.
func (t *tree) become(a *account) error {
	if os.Geteuid() != 0 || t.rootUID != 0 {
		return errNoRights
	}
	runtime.LockOSThread()                                                       // for good: the thread ends with its goroutine
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 { // of this thread alone
		return errno
	}
	if err := unix.Setfsgid(int(a.gid)); err != nil {
		return err
	}
	if err := unix.Setfsuid(int(a.uid)); err != nil {
		return err
	}
	if now, err := unix.SetfsuidRetUid(-1); err != nil || now != int(a.uid) { // it refuses without a word
		return errNoRights
	}
	return nil
}

// mine reports whether a file belongs to whom the scanner runs as, who is not
// root: nothing of it is told that was not theirs to tell.
func (t *tree) mine(uid uint32) bool {
	return uid == t.rootUID && uid != 0 && int(uid) == os.Geteuid()
}

func isDenied(err error) bool { return errors.Is(err, fs.ErrPermission) }

// denied reports whether a directory must not be opened.
func (t *tree) denied(name string) bool {
	dir, err := t.openDir(name)
	if err != nil {
		return isDenied(err)
	}
	dir.Close()
	return false
}
