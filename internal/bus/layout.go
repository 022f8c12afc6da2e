package bus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stream names.
const (
	StreamTxn     = "TXN"
	StreamHB      = "HB"
	StreamDerived = "DERIVED"
	StreamControl = "CONTROL"
	StreamDLQ     = "DLQ"
)

// Key-value buckets. Keys of merchants and terminals are <acquirer>.<number>, escaped as in subjects.
const (
	KVMerchants = "merchants"
	KVTerminals = "terminals"
	KVCatalog   = "catalog"
	KVParams    = "params"
	KVLicences  = "licences"
	KVLeases    = "leases"
	KVRuns      = "runs"
	KVClaims    = "claims"
)

// ObjectSnapshots is the object store of the alerter's state.
const ObjectSnapshots = "snapshots"

const day = 24 * time.Hour

// Layout is what may differ between installations. Zero values take the defaults in parentheses.
type Layout struct {
	Replicas        int   // of every stream and bucket (1; 3 in production)
	TxnMaxBytes     int64 // (8 GiB)
	HBMaxBytes      int64 // (2 GiB)
	DerivedMaxBytes int64 // (1 GiB)
	ControlMaxBytes int64 // (1 GiB)
	DLQMaxBytes     int64 // (256 MiB)
	DLQPerTerminal  int64 // dead letters kept of one terminal and kind (1000)
}

func (l Layout) withDefaults() Layout {
	def := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	if l.Replicas <= 0 {
		l.Replicas = 1
	}
	def(&l.TxnMaxBytes, 8<<30)
	def(&l.HBMaxBytes, 2<<30)
	def(&l.DerivedMaxBytes, 1<<30)
	def(&l.ControlMaxBytes, 1<<30)
	def(&l.DLQMaxBytes, 256<<20)
	def(&l.DLQPerTerminal, 1000)
	return l
}

// streams returns the configuration of every stream, in the order of creation.
func (l Layout) streams() []jetstream.StreamConfig {
	l = l.withDefaults()
	base := jetstream.StreamConfig{Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Replicas: l.Replicas, MaxMsgSize: 1 << 20}
	with := func(f func(*jetstream.StreamConfig)) jetstream.StreamConfig { s := base; f(&s); return s }
	return []jetstream.StreamConfig{
		with(func(s *jetstream.StreamConfig) {
			s.Name, s.Subjects = StreamTxn, []string{"fleet.v1.*.*.txn"}
			s.Description = "transactions; a full stream refuses, it never eats"
			s.MaxAge, s.MaxBytes, s.Discard, s.Duplicates = 7*day, l.TxnMaxBytes, jetstream.DiscardNew, 5*time.Minute
		}),
		with(func(s *jetstream.StreamConfig) {
			s.Name, s.Subjects = StreamHB, []string{"fleet.v1.*.*.heartbeat"}
			s.Description = "heartbeats; the oldest go when it is full"
			s.MaxAge, s.MaxBytes, s.Discard, s.Duplicates = 6*time.Hour, l.HBMaxBytes, jetstream.DiscardOld, 2*time.Minute
			s.AllowDirect = true
		}),
		with(func(s *jetstream.StreamConfig) {
			s.Name, s.Subjects = StreamDerived, []string{"derived.v1.>"}
			s.Description = "what the alerter derived: findings, incidents, rows"
			s.MaxAge, s.MaxBytes, s.Discard, s.Duplicates = 400*day, l.DerivedMaxBytes, jetstream.DiscardOld, 5*time.Minute
			s.AllowDirect = true
		}),
		with(func(s *jetstream.StreamConfig) {
			s.Name, s.Subjects = StreamControl, []string{"control.v1.>"}
			s.Description = "what people commanded and acquirers answered"
			s.MaxAge, s.MaxBytes, s.Discard, s.Duplicates = 400*day, l.ControlMaxBytes, jetstream.DiscardNew, 5*time.Minute
		}),
		with(func(s *jetstream.StreamConfig) {
			s.Name, s.Subjects = StreamDLQ, []string{"dlq.v1.*.*.*"}
			s.Description = "masked messages that could not be used, with the reason"
			s.MaxAge, s.MaxBytes, s.Discard, s.Duplicates = 30*day, l.DLQMaxBytes, jetstream.DiscardOld, 5*time.Minute
			s.MaxMsgsPerSubject = l.DLQPerTerminal
		}),
	}
}

func (l Layout) buckets() []jetstream.KeyValueConfig {
	l = l.withDefaults()
	var out []jetstream.KeyValueConfig
	for _, name := range []string{KVMerchants, KVTerminals, KVCatalog, KVParams, KVLicences} {
		out = append(out, jetstream.KeyValueConfig{Bucket: name, History: 16, Replicas: l.Replicas, Storage: jetstream.FileStorage})
	}
	for _, name := range []string{KVLeases, KVRuns, KVClaims} {
		out = append(out, jetstream.KeyValueConfig{Bucket: name, History: 1, Replicas: l.Replicas, Storage: jetstream.FileStorage, LimitMarkerTTL: 5 * time.Minute})
	}
	return out
}

// Difference is one setting of the server that is not what Tillwatch's guarantees rest on.
type Difference struct {
	Object  string // stream TXN, bucket leases
	Setting string
	Have    string
	Want    string
	// Sizing is true for limits and replicas, which an operator may choose; everything else breaks a guarantee.
	Sizing bool
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: %s is %s, want %s", d.Object, d.Setting, d.Have, d.Want)
}

// LayoutError lists the settings of the server under which the guarantees do not hold.
type LayoutError []Difference

func (e LayoutError) Error() string {
	var b strings.Builder
	b.WriteString("the server's configuration differs from what nothing-lost rests on:")
	for _, d := range e {
		b.WriteString("\n  " + d.String())
	}
	b.WriteString("\nchange it with `nats stream edit`, or rename what is there and start again")
	return b.String()
}

// Ensure creates what is missing of the streams and buckets and leaves what is there alone. Settings that break a
// guarantee are a LayoutError; other sizes than the layout's are logged, since they are the operator's choice.
func (c *Conn) Ensure(ctx context.Context, l Layout) error {
	var diffs []Difference
	// What is there is looked up first: a server counts the reservation of a stream that is asked for a second time
	// before it finds that it has it.
	for _, want := range l.streams() {
		s, err := c.js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			if _, err = c.js.CreateStream(ctx, want); err == nil {
				continue
			}
			if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was faster
				s, err = c.js.Stream(ctx, want.Name)
			}
		}
		if err != nil {
			return createError("stream "+want.Name, want.MaxBytes, err)
		}
		diffs = append(diffs, compareStream(want, s.CachedInfo().Config)...)
	}
	for _, want := range l.buckets() {
		kv, err := c.js.KeyValue(ctx, want.Bucket)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			if _, err = c.js.CreateKeyValue(ctx, want); err == nil {
				continue
			}
			if errors.Is(err, jetstream.ErrBucketExists) {
				kv, err = c.js.KeyValue(ctx, want.Bucket)
			}
		}
		if err != nil {
			return createError("bucket "+want.Bucket, 0, err)
		}
		d, err := compareBucket(ctx, want, kv)
		if err != nil {
			return createError("bucket "+want.Bucket, 0, err)
		}
		diffs = append(diffs, d...)
	}
	for _, name := range []string{KVLeases, KVRuns, KVClaims} {
		if err := c.readFromLeader(ctx, "KV_"+name); err != nil {
			return err
		}
	}
	object := jetstream.ObjectStoreConfig{Bucket: ObjectSnapshots, Storage: jetstream.FileStorage, Replicas: l.withDefaults().Replicas}
	_, err := c.js.ObjectStore(ctx, ObjectSnapshots)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		_, err = c.js.CreateObjectStore(ctx, object)
	}
	if err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
		return createError("object store "+ObjectSnapshots, 0, err)
	}
	var broken LayoutError
	for _, d := range diffs {
		if d.Sizing {
			c.log.Info("server sized differently", "object", d.Object, "setting", d.Setting, "have", d.Have, "configured", d.Want)
		} else {
			broken = append(broken, d)
		}
	}
	if len(broken) > 0 {
		return broken
	}
	return nil
}

// readFromLeader turns direct gets off: a replica that is behind must not answer where the answer decides who acts.
func (c *Conn) readFromLeader(ctx context.Context, stream string) error {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", stream, err)
	}
	cfg := s.CachedInfo().Config
	if !cfg.AllowDirect {
		return nil
	}
	cfg.AllowDirect = false
	if _, err := c.js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("turn direct gets of stream %s off: %w", stream, err)
	}
	return nil
}

// ErrNoRoom says that the server's store is too small for what the layout reserves; waiting does not help.
var ErrNoRoom = errors.New("the server has not so much store left")

func createError(what string, bytes int64, err error) error {
	if isCode(err, 10047) || isCode(err, 10028) { // insufficient storage, account or server
		return fmt.Errorf("create %s: %w: %w (it reserves %d MiB: lower streams.*_max_bytes or give the server more store)", what, ErrNoRoom, err, bytes>>20)
	}
	return fmt.Errorf("create %s: %w", what, err)
}

func compareStream(want, have jetstream.StreamConfig) (out []Difference) {
	diff := func(setting string, h, w any, sizing bool) {
		if !reflect.DeepEqual(h, w) {
			out = append(out, Difference{"stream " + want.Name, setting, fmt.Sprint(h), fmt.Sprint(w), sizing})
		}
	}
	hs, ws := slices.Sorted(slices.Values(have.Subjects)), slices.Sorted(slices.Values(want.Subjects))
	diff("subjects", hs, ws, false)
	diff("retention", have.Retention, want.Retention, false)
	diff("discard", have.Discard, want.Discard, false)
	diff("storage", have.Storage, want.Storage, false)
	diff("duplicate window", have.Duplicates, want.Duplicates, false)
	diff("allow direct", have.AllowDirect, want.AllowDirect, false)
	// A longer age and a larger size are the operator's choice; shorter ones lose what is still to be stored.
	diff("max age", have.MaxAge, want.MaxAge, have.MaxAge == 0 || have.MaxAge >= want.MaxAge)
	diff("max message size", have.MaxMsgSize, want.MaxMsgSize, have.MaxMsgSize <= 0 || have.MaxMsgSize >= want.MaxMsgSize)
	diff("max bytes", have.MaxBytes, want.MaxBytes, true)
	diff("max messages per subject", unlimited(have.MaxMsgsPerSubject), unlimited(want.MaxMsgsPerSubject), unlimited(want.MaxMsgsPerSubject) > 0)
	diff("no ack", have.NoAck, want.NoAck, false)
	diff("deny delete", have.DenyDelete, want.DenyDelete, false) // card data has to be erased
	diff("sealed", have.Sealed, want.Sealed, false)
	diff("replicas", have.Replicas, want.Replicas, true)
	if have.MaxMsgs > 0 {
		diff("max messages", have.MaxMsgs, int64(-1), false)
	}
	return out
}

func unlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}

func compareBucket(ctx context.Context, want jetstream.KeyValueConfig, kv jetstream.KeyValue) (out []Difference, err error) {
	st, err := kv.Status(ctx)
	if err != nil {
		return nil, err
	}
	have := st.Config()
	object := "bucket " + want.Bucket
	if have.History != want.History {
		out = append(out, Difference{object, "history", fmt.Sprint(have.History), fmt.Sprint(want.History), false})
	}
	if (have.LimitMarkerTTL > 0) != (want.LimitMarkerTTL > 0) {
		out = append(out, Difference{object, "limit marker ttl", have.LimitMarkerTTL.String(), want.LimitMarkerTTL.String(), false})
	}
	if have.TTL != 0 {
		out = append(out, Difference{object, "ttl", have.TTL.String(), "none", false})
	}
	if have.Replicas != want.Replicas {
		out = append(out, Difference{object, "replicas", fmt.Sprint(have.Replicas), fmt.Sprint(want.Replicas), true})
	}
	return out, nil
}
