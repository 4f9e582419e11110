// Command minio is the sandbox's stand-in for MinIO RELEASE.2021-04-22T15-44-28Z.
//
// MinIO's server is in no package registry, so the sandbox serves this instead: versitygw, another real S3 server
// over plain directories, used as a library, behind the command line, environment, health paths and error texts
// that MinIO of that release has. It says so in --version, in its first log line and in the Server header.
// How it differs is listed in fidelity.toml and held to recordings of the real server by
// tests/sandbox/test_minio_substitute.py.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

const (
	release    = "RELEASE.2021-04-22T15-44-28Z"
	program    = "versitygw 1.8.0" // the version in go.mod
	substitute = "a substitute for MinIO's server: " + program + " behind MinIO's command line"

	reserved    = "minio"      // the name MinIO keeps for itself in URLs
	metaFolder  = ".minio.sys" // and in the data directory
	largestCopy = 5 << 30      // bytes in one call, S3's limit; the library's own default is none at all
	connections = 4096
	stopSeconds = 3
)

const usage = `NAME:
  minio server - start object storage server (` + substitute + `)

USAGE:
  minio server [FLAGS] DIR

DIR:
  DIR points to a directory on a filesystem. This substitute serves one directory, not several.

FLAGS:
  --address value  bind to a specific ADDRESS:PORT, ADDRESS can be an IP or hostname (default: ":9000")
  --certs-dir value, -S value  path to certs directory: public.crt and private.key there turn on TLS
  --quiet          disable startup information
  --anonymous      accepted, without effect
  --json           accepted, without effect
  --help, -h       show help
`

// fatal prints an error as MinIO does, on standard output, and ends with 1.
func fatal(what string, lines ...string) {
	fmt.Println("ERROR " + what)
	for _, line := range lines {
		fmt.Println("      " + line)
	}
	os.Exit(1)
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "--version", "-version", "-v":
			fmt.Println("minio version " + release)
			fmt.Println("This is " + substitute)
			return
		case "--help", "-help", "-h", "help":
			fmt.Print(usage)
			return
		}
	}
	opts, ok := parse(os.Args[1:])
	if !ok {
		os.Exit(1)
	}
	serve(opts)
}

type options struct {
	address, certs, dir string
	quiet               bool
}

// parse reads `[FLAGS] server [FLAGS] DIR [FLAGS]`: MinIO takes flags on both sides of DIR.
func parse(args []string) (opts options, ok bool) {
	var message strings.Builder
	flags := flag.NewFlagSet("minio", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.StringVar(&opts.address, "address", ":9000", "")
	defaultCerts := filepath.Join(os.Getenv("HOME"), ".minio", "certs")
	flags.StringVar(&opts.certs, "certs-dir", defaultCerts, "")
	flags.StringVar(&opts.certs, "S", defaultCerts, "")
	flags.BoolVar(&opts.quiet, "quiet", false, "")
	for _, name := range []string{"anonymous", "json", "compat", "no-compat"} {
		flags.Bool(name, false, "")
	}

	var words []string
	for len(args) > 0 {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			fmt.Print(usage)
			os.Exit(0)
		} else if err != nil {
			fmt.Fprintf(&message, "Incorrect Usage: %v\n\n", err)
			break
		}
		args = flags.Args()
		if len(args) > 0 {
			words, args = append(words, args[0]), args[1:]
		}
	}
	switch {
	case message.Len() > 0:
	case len(words) > 0 && words[0] != "server":
		fmt.Printf("‘%s’ is not a minio sub-command. See ‘minio --help’.\n", words[0])
		return opts, false
	case len(words) > 2 || len(words) == 2 && strings.Contains(words[1], "..."):
		fatal("Invalid command line arguments: this substitute serves one directory", "> This is "+substitute)
	case len(words) == 2:
		opts.dir = words[1]
		return opts, true
	}
	fmt.Print(message.String() + usage)
	return opts, false
}

// credentials gives the root user's, and whether they are MinIO's well-known default.
// MINIO_ROOT_* is looked at second and wins; half a pair counts as a bad pair (cmd/common-main.go of the release).
func credentials() (name, password string, isDefault bool) {
	name, password, isDefault = "minioadmin", "minioadmin", true
	for _, names := range [][2]string{{"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"}, {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"}} {
		u, uSet := os.LookupEnv(names[0])
		p, pSet := os.LookupEnv(names[1])
		if !uSet && !pSet {
			continue
		}
		requireLengths(u, p, "")
		name, password, isDefault = u, p, false
	}
	return name, password, isDefault
}

// former is the pair that the root user had before, USER:PASSWORD; empty where none, or half a one, is given.
func former() (pair string) {
	for _, names := range [][2]string{{"MINIO_ACCESS_KEY_OLD", "MINIO_SECRET_KEY_OLD"}, {"MINIO_ROOT_USER_OLD", "MINIO_ROOT_PASSWORD_OLD"}} {
		u, uSet := os.LookupEnv(names[0])
		p, pSet := os.LookupEnv(names[1])
		if uSet && pSet {
			requireLengths(u, p, "the old ")
			pair = u + ":" + p
		}
	}
	return pair
}

func requireLengths(user, password, which string) {
	if len(user) < 3 || len(password) < 8 {
		fatal("Unable to validate "+which+"credentials inherited from the shell environment: Invalid credentials",
			"> Please provide correct credentials",
			"HINT:",
			"  Access key length should be at least 3, and secret key length at least 8 characters")
	}
}

// openDirectory makes dir when it is missing and refuses one that could not hold objects.
func openDirectory(dir string) *posix.Posix {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o777)
	}
	if err != nil {
		hint := fmt.Sprintf("  Use 'sudo chown -R %s %s && sudo chmod u+rxw %s' to provide sufficient permissions.", userName(), dir, dir)
		fatal("Unable to initialize backend: Unable to write to the backend",
			"> Please ensure MinIO binary has write permissions for the backend", "HINT:", hint)
	}
	probe := filepath.Join(dir, metaFolder)
	if err := os.MkdirAll(probe, 0o777); err != nil {
		fatal("Unable to initialize backend: " + err.Error())
	}
	// Setting one is the only sure test: reading says "not there" on file systems that would refuse to write.
	store := meta.XattrMeta{}
	if err := store.StoreAttribute(nil, probe, "", "substitute", []byte(program)); err != nil {
		fatal("Unable to initialize backend: "+dir+" takes no extended attributes: "+err.Error(),
			"> This is "+substitute+", which keeps content types and ETags in them: use a directory on ext4 or XFS")
	}
	backend, err := posix.New(dir, store, posix.PosixOpts{CopyObjectThreshold: largestCopy})
	if err != nil {
		fatal("Unable to initialize backend: " + err.Error())
	}
	return backend
}

func userName() string {
	id := strconv.Itoa(os.Geteuid())
	if found, err := user.LookupId(id); err == nil {
		return found.Username
	}
	return id
}

// checkAddress ends the program when nothing can listen there: the library would only say so much later.
func checkAddress(address string) (host, port string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		fatal("Unable to validate passed arguments: " + err.Error())
	}
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		fatal("Unable to start the server: Specified port is already in use",
			"> Please ensure no other program uses the same address/port")
	}
	if err != nil {
		fatal("Unable to start the server: " + err.Error())
	}
	listener.Close()
	return host, port
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func serve(opts options) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)

	// MinIO keeps ~/.minio and will not start when it cannot tell where that is.
	if os.Getenv("HOME") == "" {
		fatal("config-dir option must be provided: Invalid arguments specified")
	}
	if certs, err := filepath.Abs(opts.certs); err == nil { // the backend changes the working directory
		opts.certs = certs
	}
	host, port := checkAddress(opts.address)
	name, password, isDefault := credentials()
	before := former()
	backend := openDirectory(opts.dir)
	kept := store{folder: metaFolder} // the backend has made the directory the working directory
	if !isDefault {
		kept.pair = name + ":" + password
	}
	people := loadUsers(kept, name, kept.begin(before))

	scheme := "http"
	config := embedgw.Config{
		RootUserAccess: name, RootUserSecret: password,
		IAMService: people,
		Region:     os.Getenv("MINIO_REGION_NAME"),
		Ports:      []string{opts.address},
		Quiet:      true, KeepAlive: true,
		MaxConnections: connections, MaxRequests: connections, MultipartMaxParts: 10000,
	}
	cert, key := filepath.Join(opts.certs, "public.crt"), filepath.Join(opts.certs, "private.key")
	if exists(cert) && exists(key) {
		scheme, config.CertFile, config.KeyFile = "https", cert, key
	}
	region := config.Region
	if region == "" {
		region = "us-east-1"
	}
	first := middleware{admin{users: people, user: name, secret: password, region: region}}
	listening := make(chan struct{})
	config.S3Options = []s3api.Option{
		s3api.WithMiddleware("/", first.answerLikeMinio),
		s3api.WithOnListen(func() { close(listening) }),
	}

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- embedgw.RunVersityGW(ctx, buckets{backend, people}, &config) }()

	go func() {
		<-listening
		if opts.quiet {
			return
		}
		if host == "" {
			host = "127.0.0.1"
		}
		fmt.Println("This is " + substitute)
		fmt.Printf("Endpoint: %s://%s \n", scheme, net.JoinHostPort(host, port))
		if isDefault {
			fmt.Println("Detected default credentials 'minioadmin:minioadmin', please change the credentials immediately using 'MINIO_ROOT_USER' and 'MINIO_ROOT_PASSWORD'")
		}
	}()

	select {
	case err := <-ended:
		fatal(fmt.Sprintf("Unable to start the server: %v", err))
	case s := <-signals:
		fmt.Println("Exiting on signal: " + strings.ToUpper(s.String()))
		stop()
		// An idle client must not hold up the end of the service; what was answered is on disk.
		select {
		case <-ended:
		case <-time.After(stopSeconds * time.Second):
		}
	}
}
