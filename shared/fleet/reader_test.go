package fleet_test

import (
	"strings"
	"testing"
)

// TestAPathMayBelongToAnOption: a path behind an option may be the option's, and
// then what follows is read all the same.
func TestAPathMayBelongToAnOption(t *testing.T) {
	for line, ok := range map[string]bool{
		"/usr/bin/psql -h /run/postgresql -c {{site}}":       false,
		"/usr/bin/psql -h /run/postgresql {{site}}":          false,
		"/usr/bin/psql -f /opt/x.sql -v site={{site}}":       false,
		"/usr/bin/mysql -S /run/mysqld.sock -e {{site}}":     false,
		"/usr/bin/perl -I /opt/lib -e {{site}}":              false,
		"/usr/bin/perl -wI /opt/lib {{site}}":                false,
		"/usr/bin/perl -I {{site}} /opt/x.pl":                false,
		"/usr/bin/perl -I /opt/lib /opt/x.pl -e {{site}}":    true,
		"/usr/bin/python3 -W /x -c {{site}}":                 false,
		"/usr/bin/php -d /x -r {{site}}":                     false,
		"/usr/bin/tclsh8.6 {{site}}":                         false,
		"/usr/bin/env perl -I /opt/lib -e {{site}}":          false,
		"/usr/bin/env python3 /opt/x.py {{site}}":            true,
		"/usr/bin/timeout 5 sed /x {{site}}":                 false,
		"/usr/bin/sudo -u mysql /usr/bin/mysqldump {{site}}": true,
		"/usr/bin/docker exec web python3 -c {{site}}":       false,
		"/usr/bin/gosu web perl /opt/x.pl {{site}}":          true,
		"/usr/bin/gosu web /usr/bin/perl -e {{site}}":        false,
		"/opt/deploy node {{site}}":                          true,
	} {
		task := clearing()
		task.Run.Stdin, task.Run.Command.Argv = "", strings.Fields(line)
		if err := task.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestInputOfAnInterpreterByAnotherName: what a host finds behind the path decides.
func TestInputOfAnInterpreterByAnotherName(t *testing.T) {
	task := clearing()
	task.Run.Command.Argv, task.Run.Stdin = []string{"/opt/tool"}, "{{site}}"
	if err := task.Validate(); err != nil {
		t.Fatal(err)
	}
	if task.ReadsValues("/usr/bin/python3.12") == "" {
		t.Error("its input is a program")
	}
	if why := task.ReadsValues("/opt/tool-2"); why != "" {
		t.Error(why)
	}
}
