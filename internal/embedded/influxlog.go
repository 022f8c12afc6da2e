package embedded

import (
	"bytes"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
)

// maxLog is the size at which the child's log starts anew; the one before is kept beside it.
const maxLog = 8 << 20

// childLog is the file that a child's output goes to. It reads along for two things: where the child listens, and that
// it could not.
type childLog struct {
	path string

	mu      sync.Mutex // guards everything below
	file    *os.File
	size    int64
	part    []byte // a line that has not ended yet
	tell    func(addr string)
	inUse   bool
	lastFew tail
}

func openLog(path string) (*childLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &childLog{path: path, file: f, size: info.Size()}, nil
}

// watch begins a new child: tell is called with the address it says it listens on.
func (l *childLog) watch(tell func(addr string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell, l.inUse, l.part = tell, false, nil
}

func (l *childLog) sawAddressInUse() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inUse
}

func (l *childLog) end() string { return l.lastFew.String() }

func (l *childLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.file.Close()
}

// Write never fails: a child must not die of a full disk's log.
func (l *childLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > maxLog {
		l.rotate()
	}
	n, _ := l.file.Write(p)
	l.size += int64(n)
	_, _ = l.lastFew.Write(p)
	l.part = append(l.part, p...)
	for {
		line, rest, ended := bytes.Cut(l.part, []byte("\n"))
		if !ended {
			break
		}
		l.line(string(line))
		l.part = rest
	}
	if len(l.part) > 64<<10 {
		l.part = nil
	}
	return len(p), nil
}

func (l *childLog) rotate() {
	if os.Rename(l.path, l.path+".1") != nil {
		return
	}
	if f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
		_ = l.file.Close()
		l.file, l.size = f, 0
	}
}

var (
	listens18 = regexp.MustCompile(`msg="Listening on HTTP".* addr=(\S+)`)
	listens2x = regexp.MustCompile(`msg=Listening .*transport=http addr=(\S+) port=(\d+)`)
)

func (l *childLog) line(s string) {
	if strings.Contains(s, "address already in use") {
		l.inUse = true
	}
	if addr := listeningAddr(s); addr != "" && l.tell != nil {
		l.tell(addr)
		l.tell = nil
	}
}

// listeningAddr is the address in the line with which a server says that it listens; "" for any other line.
func listeningAddr(line string) string {
	if m := listens18.FindStringSubmatch(line); m != nil {
		return strings.Trim(m[1], `"`)
	}
	if m := listens2x.FindStringSubmatch(line); m != nil {
		host, _, err := net.SplitHostPort(strings.Trim(m[1], `"`))
		if err != nil {
			return ""
		}
		return net.JoinHostPort(host, m[2])
	}
	return ""
}
