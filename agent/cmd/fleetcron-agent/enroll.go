package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/agent"
	"github.com/fleetcron/fleetcron/agent/enroll"
	"github.com/fleetcron/fleetcron/agent/outside"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

func newEnroll() *cobra.Command {
	command := &cobra.Command{
		Use:   "enroll",
		Short: "make this machine a host of a fleet, with a join token",
		Long: `Makes this machine a host: it shows the collectors a join token, which
fleetctl enroll-token prints, and gets a certificate that says who it is. The
token is read from a file that only its owner may read, or from standard input;
it is sent to nobody who does not prove to be the fleet that it is of.

Where a person must approve, both sides show the fingerprint of one key: compare
them. When this command is ended while it waits, the same one without a token
goes on.

A host whose certificate has expired, or that was suspended, comes back with the
token of fleetctl agent readmit and --readmit. It stays the host that it was.`,
		Example: `  fleetcron-agent enroll --token-file /root/join-token --address https://192.0.2.7:7770
  ssh admin fleetctl enroll-token | fleetcron-agent enroll --token-file - --address https://192.0.2.7:7770
  fleetcron-agent enroll --readmit --token-file /root/join-token`,
		Args: func(_ *cobra.Command, words []string) error {
			if len(words) > 0 {
				return fromFile(words[0])
			}
			return nil
		},
	}
	flags := command.Flags()
	file := flags.String("token-file", "", "file that holds the join token, mode 0600; -: standard input; empty: go on waiting for approval")
	addresses := flags.StringSlice("address", nil, "address of a collector, such as https://192.0.2.7:7770; may be repeated; without any: the configuration's")
	readmit := flags.Bool("readmit", false, "let in again the host that this machine is")
	token := flags.String("token", "", "")
	_ = flags.MarkHidden("token")
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		if command.Flags().Changed("token") {
			return fromFile(*token)
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		request, err := requestOf(&cfg, *file, *addresses, command.InOrStdin())
		if err != nil {
			return err
		}
		request.Readmit = *readmit
		errs := command.ErrOrStderr()
		request.Waiting = func(node, fingerprint string) {
			fmt.Fprintf(errs, "host %s waits for a person to approve it. The fingerprint of its key, the same on both sides:\n  %s\n", node, fingerprint)
		}
		credentials, err := request.Run(command.Context())
		if err != nil {
			return err
		}
		tellEnrolled(command.OutOrStdout(), credentials)
		return nil
	}
	return command
}

// fromFile refuses a token on the command line, where everybody on the machine
// reads it.
func fromFile(word string) error {
	e := fleet.Errorf(fleet.Usage, "what stands on the command line is read by everybody on this machine: pass the token by file or stdin").WithCode("token_in_argv").
		WithHint("--token-file FILE, or --token-file - for standard input")
	if secret, err := pki.ParseJoinSecret(word); err == nil {
		e.Message += "; token " + secret.ID + " is known to others now, withdraw it"
	}
	return e
}

func requestOf(cfg *agent.Config, file string, addresses []string, stdin io.Reader) (*enroll.Request, error) {
	request := &enroll.Request{Home: enroll.Home{StateDir: cfg.StateDir, Owner: outside.Owner()}, Addresses: addresses, Name: cfg.Name}
	if len(addresses) == 0 {
		request.Addresses = cfg.Collectors
	}
	if request.Name == "" {
		request.Name, _ = os.Hostname()
	}
	text, err := readToken(file, stdin)
	request.Token = text
	return request, err
}

// maxToken is more than any join token has.
const maxToken = 4 << 10

func readToken(file string, stdin io.Reader) (string, error) {
	var text []byte
	var err error
	switch file {
	case "":
		return "", nil
	case "-":
		text, err = io.ReadAll(io.LimitReader(stdin, maxToken))
	default:
		text, err = pki.ReadPrivate(file)
	}
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return "", fleet.Errorf(fleet.Usage, "the token file %s is empty", file)
	}
	return string(text), nil
}

func tellEnrolled(w io.Writer, credentials *pki.Credentials) {
	id := credentials.ID()
	fmt.Fprintf(w, "host         %s\ncluster      %s\nfingerprint  %s\ncertificate  until %s; the agent renews it\n",
		id.Name, id.Cluster, credentials.Fingerprint(), credentials.NotAfter().UTC().Format(time.RFC3339))
	fmt.Fprintln(w, "\nnext         systemctl enable --now fleetcron-agent, or fleetcron-agent run")
	fmt.Fprintln(w, "             It reports what is scheduled here. What may run is for this host to say: fleetcron-agent policy init")
}
