package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"
)

// Process is what a command has of the process it runs in.
type Process struct {
	Getenv         func(string) string
	Stdout, Stderr io.Writer
	// Probe is called at the points of collector and alerter between two steps that a crash could separate. nil in
	// production.
	Probe func(at string)
}

// colour reports whether w is a terminal that may be sent colours (https://no-color.org).
func (p Process) colour(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && p.Getenv("NO_COLOR") == "" && p.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

type commands struct {
	Up       upCommand       `cmd:"" help:"Run everything on this machine: NATS, InfluxDB, collector, alerter."`
	Collect  collectCommand  `cmd:"" help:"Move events from NATS into InfluxDB."`
	Alert    alertCommand    `cmd:"" help:"Watch the streams, run the periodic checks, tell people."`
	Simulate simulateCommand `cmd:"" help:"Play a fleet of terminals with faults, over NATS or into a file."`
	Health   healthCommand   `cmd:"" help:"Ask a running service whether it is ready."`
	Version  versionCommand  `cmd:"" help:"Show which build this is."`
}

const description = `Tillwatch watches fleets of POS terminals and tells, within a second, that shops begin to see 无效商户 (invalid merchant), where, why, and what to do.

Every flag can also be given as an environment variable, TILLWATCH_ and its name: --nats-url is TILLWATCH_NATS_URL. A flag beats its variable, a variable the configuration file, the file the default.`

// Run executes one command line and returns the exit code.
func Run(ctx context.Context, args []string, p Process) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("tillwatch"), kong.Description(description), kong.UsageOnError(),
		kong.Writers(p.Stdout, p.Stderr), kong.Exit(func(code int) { exit = code; panic(exited{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Resolvers(environment(p.Getenv)),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(p),
	)
	if err != nil {
		fmt.Fprintln(p.Stderr, "tillwatch:", err)
		return 2
	}
	kctx, err := parse(parser, args)
	if exit >= 0 {
		return exit // --help
	}
	if err != nil {
		fmt.Fprintln(p.Stderr, "tillwatch:", err)
		fmt.Fprintln(p.Stderr, "try: tillwatch --help")
		return 2
	}
	err = kctx.Run()
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 0
	}
	fmt.Fprintln(p.Stderr, "tillwatch:", err)
	return 1
}

type exited struct{}

// parse turns kong's exit for --help back into a return.
func parse(parser *kong.Kong, args []string) (k *kong.Context, err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(exited); !ok {
				panic(r)
			}
		}
	}()
	return parser.Parse(args)
}

// environment gives every flag the variable TILLWATCH_<FLAG>.
func environment(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if v := getenv("TILLWATCH_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))); v != "" && flag.Name != "help" {
			return v, nil
		}
		return nil, nil
	})
}
