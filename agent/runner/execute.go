package runner

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// executeAsItIs is execve(2) and nothing besides.
func executeAsItIs(program string, argv, env []string) error {
	path, err := unix.BytePtrFromString(program)
	if err != nil {
		return err
	}
	args, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return err
	}
	variables, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE,
		uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&variables[0])))
	return errno
}
