//go:build tools

// Package actionlint fixes the version of the linter of the GitHub workflows under clients/examples.
package actionlint

import _ "github.com/rhysd/actionlint/cmd/actionlint"
