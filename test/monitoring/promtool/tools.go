//go:build tools

// Package tools names the program that docs/OPERATIONS.md runs, so that go.sum covers it.
package tools

import _ "github.com/prometheus/prometheus/cmd/promtool"
