package influx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/influxdata/influxdb-client-go/v2/domain"

	"github.com/tillwatch/tillwatch/internal/schema"
)

// EnsureBuckets makes what is missing, with its retention; what is already right it leaves alone, so it may run at
// every start and from several processes at once. A bucket that keeps its points for a shorter time than wanted is
// lengthened, which loses nothing. One that keeps them longer is left as it is and reported as an error of class
// Conflict after all others were seen to: shortening deletes points, which is an operator's decision.
func (c *Client) EnsureBuckets(ctx context.Context, buckets []schema.Bucket) error {
	major, err := c.majorVersion(ctx)
	if err != nil {
		return err
	}
	ensure := c.ensureDatabase
	if major == 2 {
		ensure = c.ensureBucket
	}
	var errs []error
	for _, b := range buckets {
		err := ensure(ctx, b)
		if err != nil && ClassOf(err) != Conflict {
			// The next one would end the same way. It comes first, so that it gives the joined error its class.
			return errors.Join(append([]error{err}, errs...)...)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Retention returns how long a bucket keeps its points; 0 is for ever. A bucket that is not there is an error of class
// BucketMissing.
func (c *Client) Retention(ctx context.Context, bucket string) (time.Duration, error) {
	op := "retention " + bucket
	major, err := c.majorVersion(ctx)
	if err != nil {
		return 0, err
	}
	if major == 2 {
		b, err := c.findBucket(ctx, op, bucket)
		if err != nil {
			return 0, err
		}
		return keptFor(b), nil
	}
	p, err := c.defaultPolicy(ctx, op, bucket)
	if err != nil {
		return 0, err
	}
	if p == nil {
		return 0, &Error{Class: BucketMissing, Op: op, Message: "the database has no default retention policy", Hint: hintBucket}
	}
	return p.keeps, nil
}

// ShardDuration is how much time one shard covers: whole shards are deleted when they expire, and every shard has an
// index and files of its own. A day up to a month of retention, and a week beyond, makes 14 to 58 shards of the
// schema's buckets (the servers' own choice would make 90 of the second).
func ShardDuration(retention time.Duration) time.Duration {
	const day = 24 * time.Hour
	switch {
	case retention == 0 || retention > 30*day:
		return 7 * day
	case retention >= 2*day:
		return day
	}
	return time.Hour
}

// longer reports whether a retention of a keeps points longer than b; 0 is for ever.
func longer(a, b time.Duration) bool { return b != 0 && (a == 0 || a > b) }

func conflict(op string, have, want time.Duration, how string) *Error {
	return &Error{
		Class: Conflict, Op: op,
		Message: fmt.Sprintf("points are kept for %s and should be for %s", spell(have), spell(want)),
		Hint:    "shortening deletes the older points; if that is meant, run: " + how,
	}
}

func spell(d time.Duration) string {
	if d == 0 {
		return "ever"
	}
	return d.String()
}

// policy is the default retention policy of a database on 1.8.
type policy struct {
	name  string
	keeps time.Duration
}

func (c *Client) ensureDatabase(ctx context.Context, b schema.Bucket) error {
	op := "ensure bucket " + b.Name
	rules := fmt.Sprintf("DURATION %s REPLICATION 1 SHARD DURATION %s", influxDuration(b.Retention), influxDuration(ShardDuration(b.Retention)))
	p, err := c.defaultPolicy(ctx, op, b.Name)
	if ClassOf(err) == BucketMissing {
		if err := c.exec(ctx, op, "CREATE DATABASE "+Ident(b.Name)+" WITH "+rules); err != nil {
			return err
		}
		// Another process may have been first, with other rules.
		p, err = c.defaultPolicy(ctx, op, b.Name)
	}
	switch {
	case err != nil:
		return err
	case p == nil:
		return c.exec(ctx, op, "CREATE RETENTION POLICY autogen ON "+Ident(b.Name)+" "+rules+" DEFAULT")
	case p.keeps == b.Retention:
		return nil
	}
	alter := "ALTER RETENTION POLICY " + Ident(p.name) + " ON " + Ident(b.Name) + " " + rules + " DEFAULT"
	if longer(p.keeps, b.Retention) {
		return conflict(op, p.keeps, b.Retention, "influx -execute '"+alter+"'")
	}
	return c.exec(ctx, op, alter)
}

// defaultPolicy returns nil without an error for a database that has no default policy.
func (c *Client) defaultPolicy(ctx context.Context, op, database string) (*policy, error) {
	series, err := c.Query(ctx, "", "SHOW RETENTION POLICIES ON "+Ident(database))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	for _, s := range series {
		for row := range s.Values {
			if isDefault, _ := s.value(row, "default").(bool); !isDefault {
				continue
			}
			name, _ := s.Text(row, "name")
			text, _ := s.Text(row, "duration")
			keeps, err := time.ParseDuration(text)
			if err != nil {
				return nil, fmt.Errorf("%s: retention policy %q: %w", op, name, err)
			}
			return &policy{name, keeps}, nil
		}
	}
	return nil, nil
}

// influxDuration writes whole seconds as InfluxQL reads them.
func influxDuration(d time.Duration) string {
	if d == 0 {
		return "INF"
	}
	return fmt.Sprintf("%ds", int64(d/time.Second))
}

func (c *Client) ensureBucket(ctx context.Context, b schema.Bucket) error {
	op := "ensure bucket " + b.Name
	shard := int64(ShardDuration(b.Retention) / time.Second)
	keep := int64(b.Retention / time.Second)
	found, err := c.findBucket(ctx, op, b.Name)
	if ClassOf(err) == BucketMissing {
		err = c.createBucket(ctx, op, b, keep, shard)
		if err == nil {
			return nil
		}
		// Another process may have been first.
		var again error
		if found, again = c.findBucket(ctx, op, b.Name); again == nil {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	have := keptFor(found)
	switch {
	case have == b.Retention:
		return nil
	case longer(have, b.Retention):
		return conflict(op, have, b.Retention, fmt.Sprintf("influx bucket update --id %s --retention %ds", *found.Id, keep))
	}
	expire := domain.PatchRetentionRuleTypeExpire
	change := domain.PatchBucketRequest{RetentionRules: &domain.PatchRetentionRules{{Type: &expire, EverySeconds: keep, ShardGroupDurationSeconds: &shard}}}
	_, _, err = c.call(ctx, op, http.MethodPatch, "/api/v2/buckets/"+url.PathEscape(*found.Id), nil, change, nil)
	return err
}

func (c *Client) createBucket(ctx context.Context, op string, b schema.Bucket, keep, shard int64) error {
	org, err := c.organization(ctx, op)
	if err != nil {
		return err
	}
	expire := domain.RetentionRuleTypeExpire
	create := domain.PostBucketRequest{
		Name: b.Name, OrgID: org, Description: &b.Doc,
		RetentionRules: &domain.RetentionRules{{Type: &expire, EverySeconds: keep, ShardGroupDurationSeconds: &shard}},
	}
	_, _, err = c.call(ctx, op, http.MethodPost, "/api/v2/buckets", nil, create, nil)
	return err
}

func (c *Client) findBucket(ctx context.Context, op, name string) (*domain.Bucket, error) {
	org, err := c.organization(ctx, op)
	if err != nil {
		return nil, err
	}
	var list domain.Buckets
	_, _, err = c.call(ctx, op, http.MethodGet, "/api/v2/buckets", url.Values{"name": {name}, "orgID": {org}}, nil, &list)
	if err != nil {
		return nil, err
	}
	if list.Buckets != nil {
		for _, b := range *list.Buckets {
			if b.Name == name && b.Id != nil {
				return &b, nil
			}
		}
	}
	return nil, &Error{Class: BucketMissing, Op: op, Status: http.StatusNotFound, Message: fmt.Sprintf("bucket %q not found", name), Hint: hintBucket}
}

func keptFor(b *domain.Bucket) time.Duration {
	if len(b.RetentionRules) == 0 {
		return 0
	}
	return time.Duration(b.RetentionRules[0].EverySeconds) * time.Second
}

// organization returns the id of Options.Org on 2.x, asked once.
func (c *Client) organization(ctx context.Context, op string) (string, error) {
	if id := c.orgID.Load(); id != nil {
		return *id, nil
	}
	if c.opts.Org == "" {
		return "", &Error{Class: BucketMissing, Op: op, Message: "no organization was named", Hint: "InfluxDB 2.x needs the name of an organization"}
	}
	var list domain.Organizations
	if _, _, err := c.call(ctx, op, http.MethodGet, "/api/v2/orgs", url.Values{"org": {c.opts.Org}}, nil, &list); err != nil {
		return "", err
	}
	if list.Orgs == nil || len(*list.Orgs) == 0 || (*list.Orgs)[0].Id == nil {
		return "", &Error{Class: BucketMissing, Op: op, Status: http.StatusNotFound, Message: fmt.Sprintf("organization name %q not found", c.opts.Org), Hint: hintOrg}
	}
	id := *(*list.Orgs)[0].Id
	c.orgID.Store(&id)
	return id, nil
}
