// Package takeover provides the task that does what a found job does: at the
// same instants, as the same user, with the same environment, shell and input.
//
// What a task cannot say is refused with the reason, never approximated.
//
// The collectors build the task from the job as its host reported it, secrets
// masked. The host builds it again from the job as it stands there, and so
// learns what belongs in place of the masks.
package takeover
