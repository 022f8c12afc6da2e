package simulate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// WriteEvents writes the events of so long, more than zero, in the events format that replay and judge read: one
// object a line, {"subject": "...", "arrived": ms, "data": {...}}. An event arrives when it is made.
func WriteEvents(w io.Writer, f *Fleet, length time.Duration) (Summary, error) {
	if length <= 0 {
		return Summary{}, fmt.Errorf("write events for %s: want a length of more than 0", length)
	}
	out := bufio.NewWriterSize(w, 1<<16)
	var sum Summary
	var line []byte
	for e := range f.Events(length) {
		line = append(line[:0], `{"subject":"`...)
		line = append(line, e.Subject()...)
		line = append(line, `","arrived":`...)
		line = strconv.AppendInt(line, e.At.UnixMilli(), 10)
		line = append(line, `,"data":`...)
		line = e.AppendBody(line)
		line = append(line, '}', '\n')
		if _, err := out.Write(line); err != nil {
			return sum, fmt.Errorf("write events: %w", err)
		}
		sum.count(&e)
	}
	sum.Fleet = length
	if err := out.Flush(); err != nil {
		return sum, fmt.Errorf("write events: %w", err)
	}
	return sum, nil
}

// WriteTruth writes what goes wrong in the fleet's own time, one Truth a line.
func WriteTruth(w io.Writer, f *Fleet) error {
	enc := json.NewEncoder(w)
	for _, t := range f.Truth(f.o.Start, 1) {
		if err := enc.Encode(t); err != nil {
			return fmt.Errorf("write truth: %w", err)
		}
	}
	return nil
}
