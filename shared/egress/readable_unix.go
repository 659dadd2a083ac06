//go:build unix

package egress

import (
	"errors"
	"net"
	"syscall"
)

// readable tells that the kernel has bytes for conn, or its end. A connection
// that is no socket has none.
func readable(conn net.Conn) bool {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		// The net package's sockets do not block.
		_, _, peekErr = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return true
	})
	return err != nil || !errors.Is(peekErr, syscall.EAGAIN)
}
