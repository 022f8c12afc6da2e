package simulate

import (
	_ "embed"
	"time"
)

//go:embed demo.yaml
var demoYAML []byte

// DemoScenario is the scenario of the demonstration: a version that fails at a1 from second 35 to 75, and one merchant
// of a2 with several terminals whose number is cancelled from second 55 to 95.
func DemoScenario() *Scenario {
	s, err := ParseScenario("demo.yaml", demoYAML)
	if err != nil {
		panic(err) // the file is part of the program, and a test reads it
	}
	return s
}

// DemoOptions are a busy fleet of 300 terminals that never closes, with the demonstration's scenario: about 20
// transactions a second, so that a fault is seen within seconds.
func DemoOptions(start time.Time) Options {
	return Options{
		Terminals: 300, Seed: 1, Start: start,
		Heartbeat: 20 * time.Second, Rate: 240, Spread: 0.4, Retry: 0.8,
		Approvals: true, AlwaysOpen: true,
		Scenario: DemoScenario(),
	}
}
