package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
)

//go:embed assets templates
var files embed.FS

// asset is an embedded file as it is served.
type asset struct {
	media   string
	version string // of its content; in its address and its ETag
	plain   []byte
	packed  []byte // gzip
}

// mediaTypes are of all the files there may be in assets.
var mediaTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// loadAssets reads the embedded files. They are part of the program, so that
// one which cannot be read is a fault of the build.
func loadAssets() map[string]asset {
	entries, err := files.ReadDir("assets")
	if err != nil {
		panic(err)
	}
	assets := make(map[string]asset, len(entries))
	for _, entry := range entries {
		content, err := files.ReadFile(path.Join("assets", entry.Name()))
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		assets[entry.Name()] = asset{
			media:   mediaTypes[path.Ext(entry.Name())],
			version: hex.EncodeToString(sum[:6]),
			plain:   content,
			packed:  pack(content),
		}
	}
	return assets
}

func pack(content []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a valid one
	_, _ = w.Write(content)                               // to memory
	_ = w.Close()
	return b.Bytes()
}

// serveAsset serves an embedded file; one asked for by its version never
// changes and is kept by the browser for good.
func (s *site) serveAsset(w http.ResponseWriter, r *http.Request) {
	a, known := s.assets[r.PathValue("name")]
	if !known {
		s.serveError(w, r, errNoPage(r.URL.Path))
		return
	}
	header := w.Header()
	header.Set("Content-Type", a.media)
	header.Set("Vary", "Accept-Encoding")
	header.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.version {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body, etag := a.plain, `"`+a.version+`"`
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body, etag = a.packed, `"`+a.version+`-gz"`
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", etag)
	if strings.Contains(r.Header.Get("If-None-Match"), etag) {
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(body) // the reader is gone if this fails
}
