package cron

import "testing"

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		dialect    Dialect
		expr, want string
	}{
		{Strict, "30 2 * * 1-5", "every weekday at 02:30"},
		{Strict, "*/5 * * * *", "every 5 minutes"},
		{Strict, "0 3 1 * *", "at 03:00 on the 1st of every month"},
		{Strict, "0 0 1 * 1", "at 00:00 on day 1 of the month and on Mondays"},
		{Strict, "* * * * *", "every minute"},
		{Strict, "0 * * * *", "every hour"},
		{Strict, "17 * * * *", "every hour at minute 17"},
		{Strict, "30 2 * * *", "every day at 02:30"},
		{Strict, "0 0,12 * * *", "every day at 00:00 and 12:00"},
		{Strict, "0 */2 * * *", "every 2 hours"},
		{Strict, "15 */2 * * *", "every 2 hours at minute 15"},
		{Strict, "0 1-23/2 * * *", "every 2 hours from 01:00 to 23:00"},
		{Strict, "0 9-17 * * 1-5", "every hour from 09:00 to 17:00 on weekdays"},
		{Strict, "*/10 9-17 * * mon-fri", "every 10 minutes from 09:00 to 17:50 on weekdays"},
		{Strict, "* 2 * * *", "every minute from 02:00 to 02:59"},
		{Strict, "*/7 * * * *", "every 7 minutes from minute 0 to 56 of every hour"},
		{Strict, "0,30 * * * *", "every 30 minutes"},
		{Strict, "5,10,40 * * * *", "at the minutes 5, 10 and 40 of every hour"},
		{Strict, "1-59/2 * * * *", "every 2 minutes from minute 1 to 59 of every hour"},
		{Strict, "15 1,4,7,9,12,16,20,23 * * *", "every day at 01:15, 04:15, 07:15, 09:15, 12:15, 16:15, 20:15 and 23:15"},
		{Strict, "5,15,35 1,4,7,9 * * *", "at the minutes 5, 15 and 35 in the hours 01, 04, 07 and 09"},
		{Strict, "0 0 * * 0", "every Sunday at 00:00"},
		{Strict, "0 0 * * 6,0", "every Saturday and Sunday at 00:00"},
		{Strict, "0 4 * * mon,wed,fri", "every Monday, Wednesday and Friday at 04:00"},
		{Strict, "*/5 * * * 1", "every 5 minutes on Mondays"},
		{Strict, "*/15 * * * tue-thu", "every 15 minutes on Tuesdays to Thursdays"},
		{Strict, "0 0 1,15 * *", "at 00:00 on the 1st and 15th of every month"},
		{Strict, "0 0 1-7 * *", "at 00:00 on the 1st to 7th of every month"},
		{Strict, "0 0 1 1 *", "at 00:00 on 1 January"},
		{Strict, "30 3 29 2 *", "at 03:30 on 29 February"},
		{Strict, "0 0 1 */3 *", "at 00:00 on the 1st of January, April, July and October"},
		{Strict, "0 0 1-7 6 *", "at 00:00 on 1 to 7 June"},
		{Strict, "30 2 * 6-8 *", "every day at 02:30 from June to August"},
		{Strict, "30 2 * 6-8 1-5", "every weekday at 02:30 from June to August"},
		{Strict, "0 0 */2 * 1", "at 00:00 on Mondays that fall on day 1, 3, 5 … 31 of the month"},
		{Strict, "0 0 13 * 5", "at 00:00 on day 13 of the month and on Fridays"},
		{Strict, "0 0 1,15 6 1,3", "at 00:00 on days 1 and 15 of the month and on Mondays and Wednesdays in June"},
		{Strict, "0 0 1-31 * 1", "every day at 00:00"},
		{Strict, "0 0 30 2 *", "never"},
		{Strict, "0 22-2 * * *", "never"},
		{Strict, "@daily", "every day at 00:00"},
		{Strict, "@hourly", "every hour"},
		{Strict, "@weekly", "every Sunday at 00:00"},
		{Strict, "@monthly", "at 00:00 on the 1st of every month"},
		{Strict, "@yearly", "at 00:00 on 1 January"},
		{Strict, "@reboot", "at boot"},
		{Strict, "*/10 * * * * *", "every 10 seconds"},
		{Strict, "* * * * * *", "every second"},
		{Strict, "15 30 2 * * *", "every day at 02:30:15"},
		{Strict, "0 30 2 * * 1", "every Monday at 02:30"},
		{Strict, "*/10 30 2 * * *", "every 10 seconds in minute 30 of hour 2"},
		{Strict, "30 * * * * *", "every minute at second 30"},
		{Strict, "5,6,9 0 0 1 * *", "at the seconds 5, 6 and 9 in minute 0 of hour 0 on the 1st of every month"},
		{Cronie, "~ * * * *", "at a time drawn from ~ * * * * when cron loads the file"},
		{Cronie, "0 0~6 * * *", "at a time drawn from 0 0~6 * * * when cron loads the file"},
		{Cronie, "0 0 1~7 * mon~fri", "at a time drawn from 0 0 1~7 * mon~fri when cron loads the file"},
		{Busybox, "0 0 * * 7", "every day at 00:00"},
		{Busybox, "0 0 */2 * 1", "at 00:00 on days 2, 4, 6 … 30 of the month and on Mondays"},
		{Busybox, "0 0 1 * *", "at 00:00 on the 1st of every month"},
	} {
		if got := mustParse(t, c.dialect, c.expr).Describe(); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.dialect, c.expr, got, c.want)
		}
	}
	if got := (Schedule{}).Describe(); got != "never" {
		t.Errorf("zero schedule: %q", got)
	}
}
