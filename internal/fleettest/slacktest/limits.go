package slacktest

import (
	"encoding/json"
	"net/url"
	"unicode/utf16"
)

// Slack's limits (docs.slack.dev, Block Kit reference and chat.postMessage).
const (
	maxBlocks   = 50
	maxHeader   = 150
	maxText     = 3000
	maxField    = 2000
	maxFields   = 10
	maxElements = 10
	maxMessage  = 40000
	maxMetadata = 8000
)

// content takes a message's text, blocks and metadata from a form, as far as they are there, and returns Slack's word
// for what is wrong with them, or "".
func content(m *Message, f url.Values) string {
	if f.Has("text") {
		m.Text = f.Get("text")
	}
	if f.Has("blocks") {
		m.Blocks = json.RawMessage(f.Get("blocks"))
		if f.Get("blocks") == "[]" {
			m.Blocks = nil
		}
	}
	if raw := f.Get("metadata"); raw != "" {
		if len(raw) > maxMetadata {
			return "metadata_too_large"
		}
		var in struct {
			Event   string         `json:"event_type"`
			Payload map[string]any `json:"event_payload"`
		}
		if json.Unmarshal([]byte(raw), &in) != nil || in.Event == "" {
			return "invalid_metadata_format"
		}
		m.Event, m.Payload = in.Event, in.Payload
	}
	return check(m)
}

func check(m *Message) string {
	switch {
	case m.Text == "" && m.Blocks == nil:
		return "no_text"
	case length(m.Text) > maxMessage:
		return "msg_too_long"
	case m.Blocks != nil:
		return CheckBlocks(m.Blocks)
	}
	return ""
}

type text struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim"`
}

type block struct {
	Type     string `json:"type"`
	Text     *text  `json:"text"`
	Fields   []text `json:"fields"`
	Elements []text `json:"elements"`
}

// CheckBlocks returns Slack's word for what is wrong with a message's blocks, or "". It knows the blocks that Tillwatch
// uses: header, section, context, divider.
func CheckBlocks(raw []byte) string {
	var blocks []block
	if json.Unmarshal(raw, &blocks) != nil {
		return "invalid_blocks_format"
	}
	if len(blocks) == 0 || len(blocks) > maxBlocks {
		return "invalid_blocks"
	}
	for _, b := range blocks {
		if !valid(b) {
			return "invalid_blocks"
		}
	}
	return ""
}

func valid(b block) bool {
	switch b.Type {
	case "header":
		return b.Text != nil && b.Text.Type == "plain_text" && fits(b.Text.Text, maxHeader)
	case "section":
		for _, f := range b.Fields {
			if !known(f) || !fits(f.Text, maxField) {
				return false
			}
		}
		if b.Text != nil && (!known(*b.Text) || !fits(b.Text.Text, maxText)) {
			return false
		}
		return len(b.Fields) <= maxFields && (b.Text != nil || len(b.Fields) > 0)
	case "context":
		for _, e := range b.Elements {
			if !known(e) || !fits(e.Text, maxText) {
				return false
			}
		}
		return len(b.Elements) > 0 && len(b.Elements) <= maxElements
	case "divider":
		return true
	}
	return false
}

func known(t text) bool { return t.Type == "mrkdwn" || t.Type == "plain_text" }

func fits(s string, limit int) bool { return s != "" && length(s) <= limit }

func length(s string) int { return len(utf16.Encode([]rune(s))) }
