package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tillwatch/tillwatch/alerter/check"
	"github.com/tillwatch/tillwatch/internal/bus"
	"github.com/tillwatch/tillwatch/internal/fleet"
)

// Claims keeps the ticks of checks in the bucket runs, under <check>.<target>.<Unix second>.
type Claims struct {
	b     *bus.Bucket
	owner string
}

var (
	_ check.Claims = (*Claims)(nil)
	_ check.Store  = (*Findings)(nil)
)

// NewClaims opens the claims for one process.
func NewClaims(ctx context.Context, c *bus.Conn, owner string) (*Claims, error) {
	b, err := c.Bucket(ctx, bus.KVRuns)
	if err != nil {
		return nil, err
	}
	return &Claims{b, owner}, nil
}

type claim struct {
	Owner string `json:"owner"`
	Done  bool   `json:"done"`
	At    int64  `json:"at"` // Unix milliseconds
}

func claimKey(checkID, target string, tick time.Time) string {
	return fmt.Sprintf("%s.%s.%d", fleet.Escape(checkID), fleet.Escape(target), tick.Unix())
}

// claimsKept is how long a tick's claim is kept.
const claimsKept = 30 * 24 * time.Hour

// Claim implements check.Claims.
func (c *Claims) Claim(ctx context.Context, checkID, target string, tick time.Time) (bool, error) {
	raw, err := json.Marshal(claim{Owner: c.owner, At: time.Now().UnixMilli()})
	if err != nil {
		return false, err
	}
	err = c.b.CreateFor(ctx, claimKey(checkID, target, tick), raw, claimsKept)
	if errors.Is(err, bus.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// Done implements check.Claims.
func (c *Claims) Done(ctx context.Context, checkID, target string, tick time.Time) error {
	key := claimKey(checkID, target, tick)
	_, rev, err := c.b.Load(ctx, key)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(claim{Owner: c.owner, Done: true, At: time.Now().UnixMilli()})
	if err != nil {
		return err
	}
	return c.b.RenewFor(ctx, key, raw, rev, claimsKept)
}
