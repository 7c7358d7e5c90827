package endpoint

import "maps"

// Reasons are all reasons that have an entry in the table.
func Reasons() []Reason {
	var all []Reason
	for r := range maps.Keys(reasons) {
		all = append(all, r)
	}
	return all
}
