package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetcron/fleetcron/collector"
	"github.com/fleetcron/fleetcron/shared/fleet"
	"github.com/fleetcron/fleetcron/shared/pki"
)

func newEnroll() *cobra.Command {
	command := &cobra.Command{
		Use:   "enroll",
		Short: "get an identity in a cluster that is there",
		Long: `Gives this collector its certificates. With a join token of fleetctl enroll-token
--collector it asks a collector of the cluster, whose root it knows by the token
before it sends the secret; run then joins by itself.

Where the root key is kept off line, --write-request writes what
fleetcron-collector issue needs, and --issued takes the answer. The same renews
the certificates of a collector that has some.`,
		Example: `  fleetcron-collector enroll --token-file c2-token --address https://10.0.0.1:7770
  fleetcron-collector enroll --write-request c2.request
  fleetcron-collector enroll --issued c2.issued --address https://10.0.0.1:7770`,
		Args: noSecrets,
	}
	flags := command.Flags()
	token := flags.String("token-file", "", "file with the join token; - reads standard input")
	addresses := flags.StringSlice("address", nil, "API address of a collector of the cluster")
	request := flags.String("write-request", "", "file to write a request for fleetcron-collector issue to")
	issued := flags.String("issued", "", "file that fleetcron-collector issue wrote")
	command.MarkFlagsMutuallyExclusive("token-file", "write-request", "issued")
	command.MarkFlagsOneRequired("token-file", "write-request", "issued")
	load := configure(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if cfg.Store == collector.StoreMemory {
			return &fleet.Error{Kind: fleet.Usage, Message: "store: memory is alone in its cluster and joins none"}
		}
		switch {
		case *request != "":
			return writeRequest(command, cfg, *request)
		case *issued != "":
			return takeIssued(command, cfg, *issued, *addresses)
		}
		return enroll(command, cfg, *token, *addresses)
	}
	return command
}

// noSecrets refuses arguments, and does not repeat a token that stands there:
// everyone on this machine sees what a program is called with.
func noSecrets(command *cobra.Command, args []string) error {
	for _, arg := range append(args, command.Flag("token-file").Value.String()) {
		if strings.Contains(arg, "fcj1.") || strings.Contains(arg, "fct1_") {
			return &fleet.Error{Kind: fleet.Usage, Code: "secret_in_argv", Message: "pass the token by file or stdin (--token-file FILE or -), not on the command line, where everybody on this machine can read it; withdraw this one"}
		}
	}
	return cobra.NoArgs(command, args)
}

// enroll trades a join token for certificates.
func enroll(command *cobra.Command, cfg collector.Config, path string, addresses []string) error {
	text, err := readToken(command, path)
	if err != nil {
		return err
	}
	secret, err := pki.ParseJoinSecret(string(text))
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		addresses = cfg.Join
	}
	if len(addresses) == 0 {
		return &fleet.Error{Kind: fleet.Usage, Message: "no address of a collector", Hint: "--address https://10.0.0.1:7770, or join in the configuration"}
	}
	got, err := collector.Enroll(command.Context(), cfg, secret, addresses)
	if err != nil {
		return err
	}
	fmt.Fprintf(command.OutOrStdout(), "enrolled as collector %s of cluster %s\nnext: systemctl start fleetcron-collector\n", got.Node, got.Cluster)
	return nil
}

// readToken reads a file that nobody else may read, or standard input.
func readToken(command *cobra.Command, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(command.InOrStdin(), 4096))
	}
	return pki.ReadPrivate(path)
}

func writeRequest(command *cobra.Command, cfg collector.Config, path string) error {
	request, err := collector.WriteRequest(cfg)
	if err != nil {
		return err
	}
	if err := writeFile(path, request); err != nil {
		return err
	}
	fmt.Fprintf(command.OutOrStdout(), "wrote %s; where the root key is: fleetcron-collector issue --root-key root.key --ca ca.pem %s > issued\n", path, path)
	return nil
}

func takeIssued(command *cobra.Command, cfg collector.Config, path string, addresses []string) error {
	answer, err := readFile(path)
	if err != nil {
		return err
	}
	if err := collector.TakeIssued(cfg, answer, addresses); err != nil {
		return err
	}
	fmt.Fprintf(command.OutOrStdout(), "collector %s has its certificates; next: systemctl restart fleetcron-collector\n", answer.Collector)
	return nil
}

func newIssue() *cobra.Command {
	command := &cobra.Command{
		Use:   "issue FILE",
		Short: "sign a collector's request with the root key, by hand",
		Long: `Answers a file of fleetcron-collector enroll --write-request on standard output.
It needs the root key and certificate and nothing else: no collector, no network.
Look at who brings the request: what is signed here is a collector.`,
		Example: "  fleetcron-collector issue --root-key root.key --ca ca.pem c2.request > c2.issued",
		Args:    cobra.ExactArgs(1),
	}
	key := command.Flags().String("root-key", "", "file of the root key, which init made")
	cert := command.Flags().String("ca", "", "file of the root certificate, ca.pem")
	_, _ = command.MarkFlagRequired("root-key"), command.MarkFlagRequired("ca")
	command.RunE = func(command *cobra.Command, args []string) error {
		request, err := readFile(args[0])
		if err != nil {
			return err
		}
		answer, err := collector.Issue(*key, *cert, request, time.Now())
		if err != nil {
			return err
		}
		return json.NewEncoder(command.OutOrStdout()).Encode(answer)
	}
	return command
}

func readFile(path string) (collector.ByHand, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return collector.ByHand{}, &fleet.Error{Kind: fleet.NotFound, Err: err}
	}
	return collector.ParseByHand(text)
}

func writeFile(path string, content collector.ByHand) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
