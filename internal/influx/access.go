package influx

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/influxdata/influxdb-client-go/v2/domain"
)

// ReadToken makes a new credential that may read these buckets and nothing else. It is shown this once: neither server
// can show it again. On 1.8 it is a user of its own, user:password, and the server must have authentication on;
// without it everybody reads everything, and the error's class is Unsupported.
func (c *Client) ReadToken(ctx context.Context, buckets ...string) (Token, error) {
	op := "read token " + strings.Join(buckets, ",")
	if len(buckets) == 0 {
		return "", errors.New("read token: no bucket was named")
	}
	major, err := c.majorVersion(ctx)
	if err != nil {
		return "", err
	}
	if major == 2 {
		return c.readAuthorization(ctx, op, buckets)
	}
	return c.readUser(ctx, op, buckets)
}

func (c *Client) readAuthorization(ctx context.Context, op string, buckets []string) (Token, error) {
	org, err := c.organization(ctx, op)
	if err != nil {
		return "", err
	}
	var may []domain.Permission
	for _, name := range buckets {
		b, err := c.findBucket(ctx, op, name)
		if err != nil {
			return "", err
		}
		may = append(may, domain.Permission{
			Action:   domain.PermissionActionRead,
			Resource: domain.Resource{Type: domain.ResourceTypeBuckets, Id: b.Id, OrgID: &org},
		})
	}
	about := "tillwatch, read only: " + strings.Join(buckets, ", ")
	ask := domain.AuthorizationPostRequest{
		AuthorizationUpdateRequest: domain.AuthorizationUpdateRequest{Description: &about},
		OrgID:                      &org, Permissions: &may,
	}
	var made domain.Authorization
	if _, _, err := c.call(ctx, op, http.MethodPost, "/api/v2/authorizations", nil, ask, &made); err != nil {
		return "", err
	}
	if made.Token == nil || *made.Token == "" {
		return "", &Error{Class: Unexpected, Op: op, Message: "the server made a token and did not show it"}
	}
	return Token(*made.Token), nil
}

func (c *Client) readUser(ctx context.Context, op string, buckets []string) (Token, error) {
	open, err := c.openToAll(ctx)
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	if open {
		return "", &Error{
			Class: Unsupported, Op: op, Message: "authentication is off, so everybody may read everything",
			Hint: "set auth-enabled = true under [http] in influxdb.conf, restart, and create an administrator",
		}
	}
	for _, b := range buckets {
		// A grant on a database that does not exist is an error only after the user was made.
		if _, err := c.Retention(ctx, b); err != nil {
			return "", err
		}
	}
	user, password := "read_"+strings.ToLower(rand.Text()[:12]), rand.Text()
	if err := c.exec(ctx, op, "CREATE USER "+Ident(user)+" WITH PASSWORD "+Literal(password)); err != nil {
		return "", err
	}
	for _, b := range buckets {
		if err := c.exec(ctx, op, "GRANT READ ON "+Ident(b)+" TO "+Ident(user)); err != nil {
			return "", errors.Join(err, c.exec(ctx, op, "DROP USER "+Ident(user)))
		}
	}
	return Token(user + ":" + password), nil
}

// openToAll reports whether a 1.8 answers a query that carries no credentials.
func (c *Client) openToAll(ctx context.Context) (bool, error) {
	o := c.opts
	o.Token = ""
	anonymous, err := New(o)
	if err != nil {
		return false, err
	}
	_, err = anonymous.Query(ctx, "", "SHOW DATABASES")
	if ClassOf(err) == Unauthorised {
		return false, nil
	}
	return err == nil, err
}

// Admin is the first account of a new server.
type Admin struct {
	User     string
	Password string
	Org      string // 2.x: the organization it makes
	Bucket   string // 2.x insists on a first bucket; it is kept for ever
	Token    Token  // 2.x: the token it shall have
}

// Setup gives a new server its first account. It returns false without an error when the server has one already, and
// when a 1.8 has authentication off and so has no use for one.
func (c *Client) Setup(ctx context.Context, a Admin) (bool, error) {
	const op = "setup"
	major, err := c.majorVersion(ctx)
	if err != nil {
		return false, err
	}
	if major == 1 {
		return c.setupUser(ctx, a)
	}
	var state struct{ Allowed bool }
	if _, _, err := c.call(ctx, op, http.MethodGet, "/api/v2/setup", nil, nil, &state); err != nil {
		return false, err
	}
	if !state.Allowed {
		return false, nil
	}
	ask := domain.OnboardingRequest{Username: a.User, Password: &a.Password, Org: a.Org, Bucket: a.Bucket}
	if a.Token != "" {
		secret := a.Token.Reveal()
		ask.Token = &secret
	}
	_, _, err = c.call(ctx, op, http.MethodPost, "/api/v2/setup", nil, ask, nil)
	return err == nil, err
}

func (c *Client) setupUser(ctx context.Context, a Admin) (bool, error) {
	open, err := c.openToAll(ctx)
	if err != nil || open {
		return false, err
	}
	o := c.opts
	o.Token = ""
	anonymous, err := New(o)
	if err != nil {
		return false, err
	}
	// A 1.8 without a user takes this one statement from anybody, and from nobody once it has one.
	err = anonymous.exec(ctx, "setup", "CREATE USER "+Ident(a.User)+" WITH PASSWORD "+Literal(a.Password)+" WITH ALL PRIVILEGES")
	if ClassOf(err) == Unauthorised {
		return false, nil
	}
	return err == nil, err
}
