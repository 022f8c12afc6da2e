package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options shape a Server.
type Options struct {
	Addr     string               // host:port to listen on; port 0 takes a free one
	Registry *prometheus.Registry // what /metrics shows; nil makes one. Metrics of the process are added to it
	Health   *Health              // what /healthz and /readyz show; nil makes an empty one
	Logger   *slog.Logger         // nil discards
}

// Server serves three pages over HTTP: /healthz is 200 while the process lives and none of its loops is wedged,
// /readyz is 200 while every required condition holds (both 503 otherwise, both with the same JSON body), and /metrics
// is for Prometheus.
type Server struct {
	o     Options
	http  *http.Server
	addr  atomic.Pointer[string]
	ready chan struct{}
}

// stopServing is how long requests in flight may take once the server is asked to stop.
const stopServing = 5 * time.Second

// NewServer makes a server; Run listens.
func NewServer(o Options) (*Server, error) {
	if _, port, err := net.SplitHostPort(o.Addr); err != nil {
		return nil, fmt.Errorf("metrics address %q: want host:port, such as 127.0.0.1:9464", o.Addr)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("metrics address %q: want a port from 0 to 65535", o.Addr)
	}
	o.Logger = orDiscard(o.Logger)
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Health == nil {
		o.Health, _ = NewHealth(o.Logger)
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(Version()),
	} {
		err := o.Registry.Register(c)
		if _, taken := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !taken {
			return nil, fmt.Errorf("register process metrics: %w", err)
		}
	}
	if err := o.Registry.Register(&healthCollector{o.Health}); err != nil { // taken means another server's conditions
		return nil, fmt.Errorf("register conditions: %w", err)
	}
	s := &Server{o: o, ready: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", s.page(func(d Document) bool { return len(d.Wedged) == 0 }))
	mux.Handle("GET /readyz", s.page(func(d Document) bool { return d.Ready && len(d.Wedged) == 0 }))
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{Registry: o.Registry}))
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Run listens, serves until ctx ends, and lets the requests in flight finish. A port that is taken is an error that
// says so. Run is called once.
func (s *Server) Run(ctx context.Context) error {
	l, err := net.Listen("tcp", s.o.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen on %s for metrics: the port is taken, perhaps by another tillwatch; give another with --metrics-addr, or port 0 for a free one: %w", s.o.Addr, err)
	} else if err != nil {
		return fmt.Errorf("listen on %s for metrics: %w", s.o.Addr, err)
	}
	s.addr.Store(new(l.Addr().String()))
	close(s.ready)
	s.o.Logger.Info("metrics served", "addr", l.Addr().String())
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve metrics: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopServing)
	defer cancel()
	if err := s.http.Shutdown(stop); err != nil {
		return fmt.Errorf("stop serving metrics: %w", errors.Join(err, s.http.Close()))
	}
	return nil
}

// Ready is closed once the server listens.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr is the host:port listened on, with the port that was taken for 0; "" before Ready.
func (s *Server) Addr() string {
	if a := s.addr.Load(); a != nil {
		return *a
	}
	return ""
}

// Document is the body of /healthz and /readyz.
type Document struct {
	Status     string   `json:"status"` // ok, not_ready or wedged
	Ready      bool     `json:"ready"`
	Version    string   `json:"version"`
	Wedged     []string `json:"wedged,omitempty"` // loops that no longer turn
	Conditions []Report `json:"conditions"`
}

func (s *Server) document(now time.Time) Document {
	d := Document{Status: "ok", Version: Version().String(), Wedged: s.o.Health.Wedged(now), Conditions: s.o.Health.Report(now)}
	d.Ready = Ready(d.Conditions)
	switch {
	case len(d.Wedged) > 0:
		d.Status = "wedged"
	case !d.Ready:
		d.Status = "not_ready"
	}
	return d
}

func (s *Server) page(good func(Document) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		d := s.document(time.Now())
		body, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !good(d) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(append(body, '\n')) // the peer has gone; there is nobody to tell
	})
}
