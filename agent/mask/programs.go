package mask

// flag is an option of a program that takes a secret.
type flag struct {
	name  string
	glued bool // the value may follow at once
	apart bool // the value may be the next word
	what  how
}

var (
	mysql    = []flag{{"-p", true, false, whole}}
	mongo    = []flag{{"-p", true, true, whole}}
	ldap     = []flag{{"-w", true, true, whole}}
	samba    = []flag{{"-U", true, true, afterPercent}, {"--user", true, true, afterPercent}}
	zip      = []flag{{"-P", true, true, whole}}
	sevenZip = []flag{{"-p", true, false, whole}}
	rar      = []flag{{"-p", true, false, whole}, {"-hp", true, false, whole}}
	curl     = []flag{
		{"-u", true, true, afterColon}, {"--user", false, true, afterColon}, {"-U", true, true, afterColon},
		{"--proxy-user", false, true, afterColon}, {"-b", false, true, withEquals}, {"--cookie", false, true, withEquals},
		{"--oauth2-bearer", false, true, whole},
	}
	httpie  = []flag{{"-a", false, true, afterColon}, {"--auth", false, true, afterColon}}
	bigP    = []flag{{"-P", true, true, whole}}
	littleP = []flag{{"-p", false, true, whole}}
	snmp    = []flag{{"-c", true, true, whole}, {"-A", false, true, whole}, {"-X", false, true, whole}}
)

// programs are those with short options, or options of a name that says
// nothing, that take secrets.
var programs = map[string][]flag{
	"mysql": mysql, "mysqldump": mysql, "mysqladmin": mysql, "mysqlcheck": mysql, "mysqlimport": mysql, "mysqlshow": mysql, "mysqlpump": mysql,
	"mysqlbinlog": mysql, "mysqlslap": mysql, "mysql_upgrade": mysql, "mysqlhotcopy": mysql, "mysqlrepair": mysql, "mysqloptimize": mysql,
	"mariadb": mysql, "mariadb-dump": mysql, "mariadb-admin": mysql, "mariadb-check": mysql, "mariadb-import": mysql, "mariadb-show": mysql,
	"mariadb-backup": mysql, "mariadb-binlog": mysql, "mariabackup": mysql, "xtrabackup": mysql, "innobackupex": mysql, "mytop": mysql,
	"mysqlsh": mysql, "mydumper": mongo, "myloader": mongo,
	"sshpass": mongo, "mongo": mongo, "mongosh": mongo, "mongodump": mongo, "mongorestore": mongo, "mongoexport": mongo, "mongoimport": mongo,
	"mongostat": mongo, "mongotop": mongo, "rabbitmqadmin": littleP, "cqlsh": littleP, "login": littleP, "ncftpput": littleP, "ncftpget": littleP,
	"ldapsearch": ldap, "ldapadd": ldap, "ldapmodify": ldap, "ldapdelete": ldap, "ldappasswd": ldap, "ldapwhoami": ldap, "ldapcompare": ldap,
	"smbclient": samba, "rpcclient": samba, "smbget": samba, "smbmap": littleP, "smbcacls": samba, "smbspool": samba, "net": samba, "wbinfo": {{"-a", true, true, afterPercent}},
	"zip": zip, "unzip": zip, "zipcloak": zip, "7z": sevenZip, "7za": sevenZip, "7zr": sevenZip, "7zz": sevenZip, "rar": rar, "unrar": rar,
	"curl": curl, "http": httpie, "https": httpie,
	"sqlcmd": bigP, "bcp": bigP, "isql": bigP, "osql": bigP, "tsql": bigP, "ipmitool": bigP, "mosquitto_pub": bigP, "mosquitto_sub": bigP,
	"redis-cli": {{"-a", true, true, whole}}, "keydb-cli": {{"-a", true, true, whole}}, "valkey-cli": {{"-a", true, true, whole}},
	"snmpget": snmp, "snmpwalk": snmp, "snmpset": snmp, "snmpbulkwalk": snmp, "snmptrap": snmp, "snmpgetnext": snmp,
	"lftp": {{"-u", true, true, afterComma}, {"--user", false, true, afterComma}}, "swaks": {{"-ap", false, true, whole}},
	"sendEmail": {{"-xp", false, true, whole}}, "sendemail": {{"-xp", false, true, whole}}, "openssl": {{"-k", false, true, whole}, {"-K", false, true, whole}},
	"sqlplus": nil, "rman": nil, "exp": nil, "imp": nil, "expdp": nil, "impdp": nil, "sqlldr": nil,
	"xfreerdp": {{"/p:", true, false, whole}}, "vncpasswd": nil,
}

// onlyFirst are those whose names are words of other meanings, too.
var onlyFirst = set("http", "https", "exp", "imp", "zip", "isql", "bcp", "net")

// operands are the programs whose first operand holds a secret.
var operands = map[string]how{
	"sqlplus": afterSlash, "rman": afterSlash, "exp": afterSlash, "imp": afterSlash, "expdp": afterSlash, "impdp": afterSlash, "sqlldr": afterSlash,
}
