package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is one key-value bucket of the layout.
type Bucket struct {
	c  *Conn
	kv jetstream.KeyValue
}

// Bucket opens a bucket that Ensure has made.
func (c *Conn) Bucket(ctx context.Context, name string) (*Bucket, error) {
	kv, err := c.js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	return &Bucket{c, kv}, nil
}

// Load returns the value of a key with its revision; revision 0 means that there is none.
func (b *Bucket) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	e, err := b.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("load %s/%s: %w", b.kv.Bucket(), key, err)
	}
	return e.Value(), e.Revision(), nil
}

// Save writes the value of a key whose revision is still the one given (0: the key is not there) and returns the new
// one. ErrConflict says that somebody else wrote first.
func (b *Bucket) Save(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	var next uint64
	var err error
	if revision == 0 {
		next, err = b.kv.Create(ctx, key, value)
	} else {
		next, err = b.kv.Update(ctx, key, value, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || isCode(err, jetstream.JSErrCodeStreamWrongLastSequence) {
		return 0, fmt.Errorf("save %s/%s after revision %d: %w", b.kv.Bucket(), key, revision, ErrConflict)
	}
	if err != nil {
		return 0, fmt.Errorf("save %s/%s: %w", b.kv.Bucket(), key, err)
	}
	return next, nil
}

// CreateFor writes a key that must not be there and that ends by itself. ErrConflict says that it is there.
func (b *Bucket) CreateFor(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	_, err := b.kv.Create(ctx, key, value, jetstream.KeyTTL(ttl))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("create %s/%s: %w", b.kv.Bucket(), key, ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("create %s/%s: %w", b.kv.Bucket(), key, err)
	}
	return nil
}

// RenewFor writes a key whose revision is still the one given, with a new time to live; Save would let it live for
// ever.
func (b *Bucket) RenewFor(ctx context.Context, key string, value []byte, revision uint64, ttl time.Duration) error {
	_, err := b.c.renewKey(ctx, b.kv.Bucket(), key, value, revision, ttl)
	return err
}

// Delete removes a key whose revision is still the one given.
func (b *Bucket) Delete(ctx context.Context, key string, revision uint64) error {
	err := b.kv.Delete(ctx, key, jetstream.LastRevision(revision))
	if isCode(err, jetstream.JSErrCodeStreamWrongLastSequence) {
		return fmt.Errorf("delete %s/%s at revision %d: %w", b.kv.Bucket(), key, revision, ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("delete %s/%s: %w", b.kv.Bucket(), key, err)
	}
	return nil
}

// Keys lists the keys that match a filter such as "slack.*", in no order.
func (b *Bucket) Keys(ctx context.Context, filter string) ([]string, error) {
	l, err := b.kv.ListKeysFiltered(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list %s/%s: %w", b.kv.Bucket(), filter, err)
	}
	defer l.Stop()
	var keys []string
	for k := range l.Keys() {
		keys = append(keys, k)
	}
	return keys, nil
}
