// Package policy provides the last word about what runs on a host: the host's.
//
// A Gate stands between the plan that the collectors give and everything that
// carries it out. It believes nothing of a plan but its sealed statements: each
// goes through the rules in their order (rules.go is the table), the first that
// fails stops it, and what is handed on is written anew from the statement that
// was signed. What it refuses stays visible with a code, a sentence and the line
// of the policy file that says so.
//
// The policy is a file that only this host's root can write, and no collector.
// Without one, or with one that cannot be trusted, nothing begins. DESIGN.md has
// the whys.
package policy
