package app

import (
	"crypto/rand"
	"fmt"
	"os"
)

// owner names this process among others of the same host: in leases, claims and logs. A restarted process is another
// owner, also where it gets the same process number, as in a container.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:6])
}
