//go:build !race

package carddata

const raceEnabled = false
