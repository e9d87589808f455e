//go:build tools

// Package tools names the program that scripts/setup/promtool.js builds, so that go.sum covers it.
package tools

import _ "github.com/prometheus/prometheus/cmd/promtool"
