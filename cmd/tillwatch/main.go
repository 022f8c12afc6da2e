// Command tillwatch watches fleets of POS terminals; `tillwatch --help` says how.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/tillwatch/tillwatch/cmd/tillwatch/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := app.Run(ctx, os.Args[1:], app.Process{Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	os.Exit(code)
}
