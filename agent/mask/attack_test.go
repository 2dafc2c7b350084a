package mask

import (
	"strings"
	"testing"
)

// TestAttack104And117_WhatIsSaidWhenSomethingFails: errors, traces and panics of
// commands repeat what they were started with, and none of it leaves the host.
func TestAttack104And117_WhatIsSaidWhenSomethingFails(t *testing.T) {
	const secret = "c4n4ryB1rd"
	for _, text := range []string{
		"panic: dial postgres://app:c4n4ryB1rd@db:5432/shop: connection refused\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:7 +0x1d\nexit status 2\n",
		"panic: main.Config{User:\"app\", Password:\"c4n4ryB1rd\"}\n",
		"panic: &{app password=c4n4ryB1rd} [recovered]\n",
		"Traceback (most recent call last):\n  File \"x.py\", line 3, in <module>\n    login(password='c4n4ryB1rd')\nValueError: token=c4n4ryB1rd\n",
		"Exception in thread \"main\" java.sql.SQLException: jdbc:mysql://db/shop?user=a&password=c4n4ryB1rd refused\n\tat Main.main(Main.java:3)\n",
		"curl: (22) The requested URL https://ann:c4n4ryB1rd@example.org/ returned error: 401\n",
		"fork/exec /usr/bin/mysqldump -pc4n4ryB1rd: no such file or directory\n",
		"sh: 1: PGPASSWORD=c4n4ryB1rd: not found\n",
		"+ mysqldump -u root -pc4n4ryB1rd shop\n", // set -x
		"Authorization: Bearer c4n4ryB1rd\n",
		"-----BEGIN PRIVATE KEY-----\nMIGHc4n4ryB1rdc4n4ryB1rdc4n4ryB1rdc4n4ryB1rdc4n4ryB1rd==\n-----END PRIVATE KEY-----\n",
	} {
		if masked, _ := New([]byte("key")).Text(text); strings.Contains(masked, secret) {
			t.Errorf("%q is passed on as %q", text, masked)
		}
	}
}
