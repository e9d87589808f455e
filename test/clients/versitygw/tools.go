//go:build tools

// Package versitygw fixes the version of the program that the tests of clients run.
package versitygw

import _ "github.com/versity/versitygw/cmd/versitygw"
