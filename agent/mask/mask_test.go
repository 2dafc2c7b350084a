package mask

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// TestSecretsAreMasked: «…» marks what must go; all else must stay.
func TestSecretsAreMasked(t *testing.T) {
	for _, text := range []string{
		// URLs
		"curl https://ann:«s3cret»@example.org/x",
		"pg_dump postgres://app:«p4ss:w@rd»@db:5432/shop > /backup/shop",
		"redis-cli -u redis://:«hunter2»@cache:6379",
		"git pull https://«0123456789abcdef0123456789abcdef01234567»@example.org/r.git",
		"wget ftp://u:«pa/ss»@host/dir",
		"curl 'https://h/x?user=a&token=«abc123»&page=2'",
		"curl \"https://h/x?api_key=«k»\"",
		"curl -X POST https://hooks.slack.com/services/«T000/B000/AbCd1»",
		"curl https://api.telegram.org/bot«12345:AAbb/sendMessage» -d chat_id=7",
		"DATABASE_URL=mysql://u:«p»@h/db app",
		"app --dsn='«root:s3cret@tcp(db:3306)/x»'",
		"app 'root:«s3cret»@tcp(db:3306)/x'",
		// options
		"backup --password «hunter2» --verbose",
		"backup --password=«hunter2» --verbose",
		"backup --password='«hunter two»' x",
		"backup \"--password=«hunter two»\" x",
		"backup --password \"«hunter two»\" x",
		"java -Dspring.datasource.password=«x1» -jar a.jar",
		"keytool -storepass «changeit» -list",
		"x --api-key «12ab» --client-secret=«zz» --token «t-1»",
		"gpg --batch --passphrase «sesame» -c /x",
		"openssl enc -aes-256-cbc -pass pass:«abc» -in /x",
		"openssl rsa -passin pass:«abc» -in k.pem",
		"openssl enc -k «abc» -in x",
		"duplicity --ssh-options=-oPort=2 --gpg-passphrase «x1»",
		"rclone --sftp-pass=«obscured» sync a b",
		"mount -t cifs -o username=a,password=«b,c»,uid=0 //h/s /mnt",
		"aws configure set aws_secret_access_key «abcDEF/ghi+1»",
		// short options of programs that are known
		"mysqldump -u root -p«hunter2» --all-databases",
		"/opt/mysql/bin/mysqldump-8.0 -p«hunter2» shop",
		"azcopy sync 'https://a.blob.core.windows.net/c?sv=2020&sig=«Zm9v/YmFy»&se=2027' /x",
		"curl -u «0123456789abcdef01234567»: https://api.example.org",
		"xfreerdp /u:ann /p:«hunter2» /v:h",
		"app --pw «hunter2»",
		"net ads join -U ann%«hunter2»",
		"bash -c 'sshpass -p '«hunter2»' ssh u@h'",
		"x \"mysqldump -p«hunter2» shop",
		"echo «hunter2» | passwd ann",
		"yes «hunter2» | passwd ann",
		"/usr/bin/mysqldump -uroot -p'«hunter 2»' shop",
		"/usr/bin/mysqldump -uroot '-p«hunter2»' shop",
		"flock -n /tmp/l ionice -c3 mariadb-dump -p«hunter2» shop",
		"docker exec db mysqldump -p«hunter2» shop",
		"docker login -u ann -p «hunter2» registry",
		"sshpass -p «hunter2» rsync -a x y:",
		"sshpass -p«hunter2» ssh h",
		"mongodump -u a -p «hunter2»",
		"curl -u ann:«hunter2» https://h",
		"curl -sSu ann:«hunter2» https://h",
		"curl -uann:«hunter2» https://h",
		"curl --user 'ann:«hunter2»' https://h",
		"curl -b '«sid=abc»' https://h",
		"ldapsearch -D cn=a -w «hunter2» -b dc=x",
		"smbclient //h/s -U 'ann%«hunter2»'",
		"lftp -u ann,«hunter2» h",
		"zip -P «hunter2» a.zip b", "7z a -p«hunter2» a.7z b",
		"redis-cli -a «hunter2» SAVE",
		"sqlplus scott/«tiger»@orcl @x.sql",
		"snmpget -v2c -c «public1» h oid",
		"ipmitool -H h -U a -P «hunter2» power status",
		// settings
		"PGPASSWORD=«hunter2» pg_dump shop",
		"MYSQL_PWD=«hunter2» mysqldump shop",
		"export DB_PASS=«abcd$b»; run", "dbPassword=«x9» run",
		"AWS_SECRET_ACCESS_KEY=«abc/def» AWS_ACCESS_KEY_ID=«AKIAIOSFODNN7EXAMPLE» aws s3 ls",
		"SERVICE_KEY=«a1b2c3d4e5f6a7b8c9d0» run",
		"KEY=«a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6» run",
		"PASSWORD=«${PASSWORD:-fallback1}» run",
		"sudo -u x env RESTIC_PASSWORD=«hunter2» restic backup /",
		// headers and tokens
		"curl -H 'Authorization: Bearer «abc.def»' https://h",
		"curl -H \"Authorization: Basic «YTpi»\" https://h",
		"curl -H 'Authorization: «raw»' https://h",
		"curl -H 'X-Api-Key: «abc def»' https://h",
		"curl -H 'Cookie: «a=b; c=d»' https://h",
		"curl -H 'PRIVATE-TOKEN: «abc»' https://h",
		"curl -d '{\"user\":\"ann\",\"password\":\"«hunter2»\"}' https://h",
		"curl -d '{\"password\": \"«hunter 2»\", \"user\": \"ann\"}' https://h",
		"curl -d \"{\\\"token\\\":\\\"«hunter2»\\\"}\" https://h",
		"git clone https://h/r «ghp_0123456789abcdefghijABCDEFGHIJ012345»",
		"notify «xoxb-123456789012-abcdefghijkl»",
		"x «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U»",
		"echo '-----BEGIN RSA PRIVATE KEY-----«\nMIIE\nabc\n»-----END RSA PRIVATE KEY-----' | x",
		// within quotes
		"bash -c 'mysqldump -p«hunter2» shop | gzip > /x'",
		"bash -c \"PGPASSWORD=«hunter2» pg_dump -h db\"",
		"su - postgres -c \"bash -c 'PGPASSWORD=«hunter2» pg_dump'\"",
		"ssh h \"curl -H \\\"Authorization: Bearer «abc»\\\" https://h\"",
		"x=$(mysql -p«hunter2» -e 'select 1')",
		"sqlcmd -S h -Q x 'Server=h;User=sa;Password=«hunter2»;'",
		"psql 'host=h user=a password=«hunter2» dbname=x'",
		// pipes
		"echo «hunter2» | sudo -S reboot",
		"echo '«ann:hunter2»' | chpasswd",
		"echo -n «hunter2» | docker login -u a --password-stdin",
		// cut off
		"x --password \"«abc de»",
		"curl https://ann:«hunter2»",
		"x «ghp_0123456»…",
		// two in one, and beside a reference
		"a --password=«x1» b --token «y2»",
		"mysql -u$USER -p«hunter$PW» db",
	} {
		plain := strings.NewReplacer("«", "", "»", "").Replace(text)
		var want strings.Builder
		rest := text
		for {
			before, after, ok := strings.Cut(rest, "«")
			want.WriteString(before)
			if !ok {
				break
			}
			want.WriteString(Redacted)
			_, rest, _ = strings.Cut(after, "»")
		}
		got, any := Constant(plain, false)
		if got != want.String() || !any {
			t.Errorf("%s\n got %s\nwant %s", plain, got, want.String())
		}
		if again, any := Constant(got, false); again != got || any {
			t.Errorf("%s is masked again: %s", got, again)
		}
	}
}

func TestHarmlessTextStays(t *testing.T) {
	for _, text := range []string{
		"", " ", "/usr/local/bin/backup --all", "mkdir -p /var/x", "cp -p a b", "ssh -p 22 h", "nc -l -p 8080", "docker run -p 8080:80 nginx",
		"mysql -p shop", "mysqldump -u root -p shop", "mysqldump --defaults-extra-file=/root/.my.cnf shop", "mysql -P 3306 shop",
		"TOKEN_FILE=/etc/x run", "PASSWORD_FILE=/run/secrets/db run", "x --password-file /etc/x", "x --password-file=/etc/x", "x --passphrase-fd 3",
		"x --password \"$PASSWORD\"", "x --password=$PASSWORD", "x --password=${PASSWORD}", "x --password $(cat /run/secret)", "x --password=$(cat /run/secret)",
		"x --password \"$(cat /run/secret)\"", "x --password=`cat /run/secret`", "mysqldump -p$PASS shop", "mysqldump -p\"$(cat /root/pw)\" shop",
		"PGPASSWORD=$(cat /root/pw) pg_dump", "PGPASSWORD=`cat /root/pw` pg_dump", "PGPASSFILE=/root/.pgpass pg_dump", "export PASSWORD",
		"curl -u \"$USER:$PASS\" https://h", "curl https://$USER:$PASS@h/", "curl http://localhost:8080/health", "curl http://$HOST:$PORT/x", "curl http://[::1]:80/x",
		"curl -H \"Authorization: Bearer $TOKEN\" https://h", "curl -H 'Content-Type: application/json' https://h", "curl -b cookies.txt https://h",
		"git pull ssh://git@example.org/r.git", "rsync -a root@h:/x /y", "docker pull repo:1.2@sha256:0123456789abcdef0123456789abcdef",
		"sort -k2 --key=2,3 x", "sort --key 2 x", "gpg --recv-keys 0123456789ABCDEF0123456789ABCDEF01234567", "apt-key adv --keyserver k --recv-keys 0123456789ABCDEF01",
		"openssl enc -pass env:PW", "openssl enc -pass file:/root/pw -in x", "ssh -i /root/.ssh/id_key h", "curl --key /etc/ssl/x.key https://h",
		"x --token-ttl 30 --max-tokens=4096 --secret-name db", "ffmpeg -pass 1 x", "cd $PWD && PWD=/x run", "x --no-password", "x --password", "psql --no-password shop", "x --ask-token yes", "find / -name password -print",
		"passwd -e ann", "pass git pull", "vault token renew", "grep -q password /etc/x", "echo password | grep x", "logger 'secret agent done'", "kinit -k -t /etc/x.keytab a",
		"run-parts --report /etc/cron.hourly", "[ -x /usr/sbin/anacron ] || run", "test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && certbot -q renew",
		"date +\\%Y-\\%m-\\%d", "php artisan schedule:run >> /dev/null 2>&1", "sa1 -S DISK 1 1", "cat a | su b", "it's not closed", "\"neither is this", "echo hi | mail -s x root",
		"BYPASS=1 run", "COMPASS_DIR=/x run", "HOTKEY=ctrl run", "KEYBOARD=de run", "x --bypass yes", "export LC_KEY=value",
		"PASSWORD= run", "PASSWORD=true run", "PASSWORD=*** run", "x --password=<redacted> y", "x --password=<redacted:0123abcd> y", "<redacted:0123abcd>",
		"AUTH=basic run", "x --auth none", "MAILTO=ops@example.org", "rsync --password-file=/etc/rsync.pw a b::c",
		"skopeo sk-learn", "perl -e 'print SG.1'", "x AKIA", "s3://bucket/key", "aws s3 cp x s3://b/k/AKIA", "-----BEGIN CERTIFICATE-----\nabc1\n-----END CERTIFICATE-----",
	} {
		if got, any := Constant(text, false); any || got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// TestInputOfCrontabs: what follows an unescaped % goes, unless it is only the
// rest of a date that somebody forgot to escape.
func TestInputOfCrontabs(t *testing.T) {
	for text, want := range map[string]string{
		"mail -s x root%Hello%the code is 42": "mail -s x root%<redacted>",
		"x 50\\% y":                           "x 50\\% y",
		"x%":                                  "x%",
		"tar cf /b/$(date +%F).tar /x":        "tar cf /b/$(date +%F).tar /x",
		"tar cf /b/`date +\"%Y-%m\"`.tar /x --password=a1": "tar cf /b/`date +\"%Y-%m\"`.tar /x --password=<redacted>",
		"date +\\%F; cat%secret":                           "date +\\%F; cat%<redacted>",
		"sleep $(( RANDOM % 600 )) && x --token a1":        "sleep $(( RANDOM % 600 )) && x --token <redacted>",
		"%(manage)s clean":                                 "%(manage)s clean",
		"x \"%d\" y":                                       "x \"%d\" y",
		"echo 'it''s%secret":                               "echo 'it''s%secret",
		"x 'a' \"b\"%secret":                               "x 'a' \"b\"%<redacted>",
		"curl -s -w %{http_code} https://h":                "curl -s -w %{http_code} https://h",
	} {
		if got, _ := Constant(text, true); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got, any := Constant("mail root%Hello", false); any {
		t.Errorf("no crontab: %q", got)
	}
}

func TestKeyedMarks(t *testing.T) {
	a, b := New([]byte(strings.Repeat("a", KeySize))), New([]byte(strings.Repeat("b", KeySize)))
	one, _ := a.Text("x --password hunter2")
	two, _ := a.Text("y --token hunter2")
	other, _ := a.Text("x --password hunter3")
	foreign, _ := b.Text("x --password hunter2")
	mark := strings.TrimPrefix(one, "x --password ")
	if len(mark) != len("<redacted:01234567>") || mark != strings.TrimPrefix(two, "y --token ") || one == other || one == foreign {
		t.Errorf("%q %q %q %q", one, two, other, foreign)
	}
}

func TestEnv(t *testing.T) {
	env := map[string]string{
		"PATH": "/usr/bin:/bin", "MAILTO": "ops@example.org", "PGPASSWORD": "hunter2", "TOKEN_FILE": "/etc/x", "API_KEY": "k1",
		"DATABASE_URL": "postgres://a:hunter2@h/x", "SHELL": "/bin/bash", "EMPTY_TOKEN": "", "KEY": "value",
	}
	want := map[string]string{
		"PATH": "/usr/bin:/bin", "MAILTO": "ops@example.org", "PGPASSWORD": "M", "TOKEN_FILE": "/etc/x", "API_KEY": "M",
		"DATABASE_URL": "postgres://a:M@h/x", "SHELL": "/bin/bash", "EMPTY_TOKEN": "", "KEY": "value",
	}
	got := New(make([]byte, KeySize)).Env(env)
	for name, value := range got {
		got[name] = remark(value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if env["PGPASSWORD"] != "hunter2" {
		t.Error("the map itself was changed")
	}
	if names := SecretSettings(env); len(names) != 3 {
		t.Errorf("secret settings %v", names)
	}
}

// remark shortens marks to M.
func remark(text string) string {
	for {
		before, after, ok := strings.Cut(text, "<redacted:")
		if !ok {
			return text
		}
		text = before + "M" + after[9:]
	}
}

// TestReport: no field that holds text of the host lets a secret through, and
// the report in the process stays as it is.
func TestReport(t *testing.T) {
	const secret = "curl -u ann:hunter2 https://h"
	report := fleet.Report{
		Jobs: []fleet.Job{{
			ID: "1", Kind: fleet.KindCron, Source: "/etc/crontab", Command: secret + "%hunter2", Env: map[string]string{"TOKEN": "hunter2"},
			Verdict: fleet.Verdict{Why: secret}, Risks: []fleet.Risk{{Why: secret}}, Evidence: &fleet.Evidence{From: "x", Result: secret}, ManagedBy: "Ansible (" + secret + ")",
		}},
		Problems: []fleet.Problem{{Source: "/etc/cron.d/x", Text: "1 1 * * root x%hunter2", Reason: secret}, {Source: "container:web:/etc/crontabs/root", Text: "1 1 * * * x%hunter2", Reason: "x"}},
	}
	before := fmt.Sprintf("%+v", report)
	out := New(make([]byte, KeySize)).Report(&report)
	if text := fmt.Sprintf("%+v %+v", *out, *out.Jobs[0].Evidence); strings.Contains(text, "hunter2") {
		t.Errorf("%s", text)
	}
	if before != fmt.Sprintf("%+v", report) || report.Jobs[0].Evidence.Result != secret {
		t.Error("the report itself was changed")
	}
}

// FuzzText holds three promises for every text: masking ends, masking again
// changes nothing, and what is not masked is there as it was.
func FuzzText(f *testing.F) {
	for _, text := range []string{
		"mysqldump -phunter2 x", "PGPASSWORD='a b' x", "curl -H \"Authorization: Bearer x\"", "x%y", "https://a:b@c", "\\\"'`$(", "-----BEGIN PRIVATE KEY-----",
		"<redacted:01234567>", "password=<redacted>x", "eyJhbGciOiJIUzI1NiJ9.e30", "echo a|sudo -S b", "{\"password\": \"x\"", "a@tcp(", "--token --token --token",
	} {
		f.Add(text, true)
	}
	m := New([]byte("key"))
	f.Fuzz(func(t *testing.T, text string, crontab bool) {
		out, any := masked(text, crontab, m.mark)
		if !any && out != text {
			t.Fatalf("%q changed to %q though nothing is secret", text, out)
		}
		if again, any := masked(out, crontab, m.mark); any || again != out {
			t.Fatalf("%q became %q, and then %q", text, out, again)
		}
		at := 0
		for rest := out; rest != ""; {
			begin := strings.Index(rest, "<redacted:")
			piece := rest
			if begin >= 0 {
				piece = rest[:begin]
			}
			i := strings.Index(text[at:], piece)
			if i < 0 {
				t.Fatalf("%q became %q, in which %q is new or out of order", text, out, piece)
			}
			at += i + len(piece)
			if begin < 0 {
				break
			}
			n := placeholder(rest[begin:])
			if n == 0 {
				at -= 0
				rest = rest[begin+1:]
				continue
			}
			rest = rest[begin+n:]
		}
	})
}

// FuzzCanary plants a secret where there are secrets, amid any text, and wants
// it gone.
func FuzzCanary(f *testing.F) {
	f.Add("nice -n 5 ", " > /dev/null 2>&1", uint8(0))
	f.Add("A=b ", " | gzip", uint8(7))
	forms := []string{
		"PGPASSWORD=%s pg_dump", "x --password %s", "x --password=%s", "mysqldump -p%s db", "curl -u ann:%s https://h", "curl https://ann:%s@h/",
		"curl -H 'Authorization: Bearer %s' https://h", "sshpass -p %s ssh h", "openssl x -passin pass:%s",
	}
	f.Fuzz(func(t *testing.T, before, after string, n uint8) {
		const canary = "c4narySecretValue"
		// A quote left open before it, or a sign that joins it to what is
		// beside it, makes it another text.
		if strings.ContainsAny(before+after, "'\"`\\$<>(){}[]%=#:/@…-") {
			return
		}
		text := before + "; " + fmt.Sprintf(forms[int(n)%len(forms)], canary) + " " + after
		if out, _ := Constant(text, false); strings.Contains(out, canary) {
			t.Fatalf("%q became %q", text, out)
		}
	})
}

// TestLongHostileTexts would not end within the test's time if masking were
// more than linear in any of these.
func TestLongHostileTexts(t *testing.T) {
	const n = 1 << 20
	for _, unit := range []string{
		"'", "\"", "\\\"", "'\"", "://", "http://a:b", "a:b@tcp(", "sk-", "eyJ", "password=", "password=$password=", "--password ", "-----BEGIN PRIVATE KEY-----",
		"x=", "\"a\":", "a|", "$(", "`", "<redacted", "%", "'a b' ", "\\", "echo a|", "(\"' ", "Authorization: ", "pass:", "password=a,", "hooks.slack.com/services/",
	} {
		text := strings.Repeat(unit, n/len(unit))
		out, _ := Constant(text, true)
		if again, any := Constant(out, true); any || again != out {
			t.Errorf("%q repeated is masked again", unit)
		}
	}
}

func BenchmarkConstant(b *testing.B) {
	const text = "[ -x /usr/lib/package-7/nightly ] && flock -n /run/x nice /usr/lib/package-7/nightly --quiet --mail=ops@example.org >/dev/null 2>&1"
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, any := Constant(text, true); any {
			b.Fatal("it holds no secret")
		}
	}
}

// TestForgottenUser: in a crontab where a user was forgotten the program stands
// in its place, and what follows is masked as that program's.
func TestForgottenUser(t *testing.T) {
	job := fleet.Job{Kind: fleet.KindCron, User: "mysqldump", Command: "-phunter2 shop"}
	told := New(make([]byte, KeySize)).Report(&fleet.Report{Jobs: []fleet.Job{job}}).Jobs[0]
	constant, _ := ConstantOf(&job)
	if strings.Contains(told.Command, "hunter2") || told.User != "mysqldump" || constant != "-p<redacted> shop" {
		t.Errorf("told %+v, constant %q", told, constant)
	}
}

// TestSecretsAreNotRepeated: of a line that is no job the command is found, and
// what is said about a job or a line repeats no secret of it.
func TestSecretsAreNotRepeated(t *testing.T) {
	report := fleet.Report{
		Jobs: []fleet.Job{{
			Kind: fleet.KindTimer, Command: "backup --password hunter2", Schedule: "OnCalendar=x --password hunter2",
			Verdict: fleet.Verdict{Why: `there is no "hunter2"`}, Risks: []fleet.Risk{{Why: `"hunter2" is open`}},
		}},
		Problems: []fleet.Problem{
			{Source: "/etc/cron.d/x", Text: "0 99 * * * root zip -P hunter2 x", Reason: `"hunter2" is not known`},
			{Source: "/etc/cron.d/x", Text: "@dayly root zip -P hunter2 x"},
			{Source: "/etc/anacrontab", Text: "x 5 daily zip -P hunter2 x"},
		},
	}
	if told := fmt.Sprint(*New(make([]byte, KeySize)).Report(&report)); strings.Contains(told, "hunter2") {
		t.Error(told)
	}
}
