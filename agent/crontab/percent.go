package crontab

// Shell returns what the daemon passes to the shell as its command.
func (j *Job) Shell() string { return j.dialect.Shell(j.Command) }

// Stdin returns what the daemon writes to the command's standard input.
func (j *Job) Stdin() string { return j.dialect.Stdin(j.Command) }
