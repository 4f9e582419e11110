package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

const (
	runDir   = "/run/determined"
	workDir  = runDir + "/workdir"
	userBase = runDir + "/pythonuserbase"
	jupyter  = runDir + "/jupyter"

	unpackScript = "k8_init_container_entrypoint.sh"
	notebookPage = jupyter + "/notebook-entrypoint.sh"
)

var (
	//go:embed k8_init_container_entrypoint.sh
	unpack []byte
	//go:embed notebook-entrypoint.sh
	notebookEntrypoint []byte
	//go:embed jupyter-conf.txt
	jupyterConfig string
	//go:embed Notebook.ipynb
	firstNotebook []byte

	birthday = time.Date(2017, 8, 2, 0, 0, 0, 0, time.UTC) // of the files that the master adds
)

// Item is a file or folder of an archive.
type Item struct {
	path    string
	kind    byte
	mode    int64
	content []byte
	changed time.Time
}

// Archive is what becomes one N.tar.gz of a task's ConfigMap; at is below where its entries are mounted.
type Archive struct {
	at    string
	items []Item
}

func folder(path string) Item { return Item{path, tar.TypeDir, 0o700, nil, birthday} }

func plainFile(path string, mode int64, content []byte) Item {
	return Item{path, tar.TypeReg, mode, content, birthday}
}

// archives are those of each task, in the order of the real master's.
func (s *Server) archives(t *Task) ([]Archive, error) {
	wheels, err := s.wheels()
	if err != nil {
		return nil, err
	}
	task := s.config.Security.DefaultTask
	account := runDir + "/etc/"
	more := []Item{}
	if t.kind == "notebook" {
		more = notebookFiles(t.id)
	}
	return []Archive{
		{"/", []Item{folder(runDir), folder(workDir), folder(userBase)}},
		{"/", []Item{
			plainFile(account+"passwd", 0o644, fmt.Appendf(nil, "%s:x:%d:%d::%s:/bin/sh\n", task.User, task.UID, task.GID, workDir)),
			plainFile(account+"shadow", 0o600, fmt.Appendf(nil, "%s:!!:::::::\n", task.User)),
			plainFile(account+"group", 0o644, fmt.Appendf(nil, "%s:x:%d:\n", task.Group, task.GID))}},
		{"/", wheels},
		{"/", nil}, // the master's certificate, with TLS
		{workDir, t.files},
		{"/", more},
	}, nil
}

// wheels are the harness's: the image has one of the real one's size.
func (s *Server) wheels() ([]Item, error) {
	names, _ := filepath.Glob(filepath.Join(s.config.Root, "wheels", "*"+version+"*.whl"))
	found := []Item{}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		found = append(found, plainFile("/opt/determined/wheels/"+filepath.Base(name), 0o644, content))
	}
	return found, nil
}

func notebookFiles(task string) []Item {
	return []Item{folder(jupyter), folder(jupyter + "/config"), folder(jupyter + "/data"), folder(jupyter + "/runtime"),
		plainFile(notebookPage, 0o700, notebookEntrypoint),
		plainFile(workDir+"/jupyter-conf.py", 0o644, []byte(strings.ReplaceAll(jupyterConfig, "TASK", task))),
		plainFile(workDir+"/Notebook.ipynb", 0o644, firstNotebook)}
}

// items are the request's files. The real master takes any path; one that leads out of the context is refused here.
func items(files []File) ([]Item, error) {
	found := []Item{}
	for _, file := range files {
		clean := path.Clean(file.Path)
		if file.Path == "" || path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") {
			return nil, fmt.Errorf("a file's path must lie below the context: %q", file.Path)
		}
		found = append(found, Item{clean, byte(file.Type), int64(file.Mode) & 0o7777, file.Content, time.Unix(int64(file.MTime), 0)})
	}
	return found, nil
}

func (a Archive) packed(owner, group int) ([]byte, error) {
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	out := tar.NewWriter(zipped)
	var all error
	for _, i := range a.items {
		header := &tar.Header{Typeflag: i.kind, Name: strings.TrimPrefix(i.path, "/"), Mode: i.mode, Size: int64(len(i.content)), ModTime: i.changed,
			Uid: owner, Gid: group}
		all = errors.Join(all, out.WriteHeader(header))
		_, err := out.Write(i.content)
		all = errors.Join(all, err)
	}
	err := errors.Join(all, out.Close(), zipped.Close())
	return packed.Bytes(), err
}

// configMap holds a task's files and the script that unpacks them.
func (s *Server) configMap(archives []Archive, metadata object) (object, error) {
	data := map[string][]byte{unpackScript: unpack}
	for i, archive := range archives {
		packed, err := archive.packed(s.config.Security.DefaultTask.UID, s.config.Security.DefaultTask.GID)
		if err != nil {
			return nil, err
		}
		data[fmt.Sprintf("%d.tar.gz", i)] = packed
	}
	return object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": data}, nil
}

// mounts: each entry of each archive is one of its own in determined-container.
func mounts(archives []Archive) []any {
	found := []any{}
	for i, archive := range archives {
		for _, item := range archive.items {
			found = append(found, object{"name": "additional-files-volume", "mountPath": path.Join(archive.at, item.path),
				"subPath": path.Join(fmt.Sprint(i), item.path)})
		}
	}
	return found
}
