package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed compare_and_put.lua
var compareAndPutScript string

var compareAndPut = redis.NewScript(compareAndPutScript)

// RedisConfig is the layout of the records in Redis.
type RedisConfig struct {
	// Prefix goes before every key. Without one the layout is that of the
	// original's connector of the 4.x to 10.x line: <name>_v and <name>_d.
	Prefix string
	// HashTag puts the name into braces, so that both keys lie in one slot of a
	// Redis Cluster; the original cannot read that.
	HashTag bool
	// TTL is the life of a record after its last write; 0 is for ever.
	TTL time.Duration
	// Reserved are prefixes of keys that belong to others: names whose keys
	// would begin with one are refused.
	Reserved []string
}

// Redis is a Cache that nodes share. Two nodes never both win a version: the
// comparison and the write are one script.
type Redis struct {
	client redis.UniversalClient
	config RedisConfig
}

// NewRedis makes the cache; Close closes the client.
func NewRedis(client redis.UniversalClient, c RedisConfig) *Redis {
	return &Redis{client: client, config: c}
}

// keys returns the keys of the version and the data.
func (r *Redis) keys(name string) (v, d string, err error) {
	base := r.config.Prefix + name
	switch {
	case r.config.HashTag && strings.HasPrefix(name, "}"):
		base = r.config.Prefix + "{:}" + name + ":" // empty braces are no tag; other keys end in a brace here
	case r.config.HashTag:
		base = r.config.Prefix + "{" + name + "}"
	}
	for _, p := range r.config.Reserved {
		if strings.HasPrefix(base, p) {
			return "", "", fmt.Errorf("record %.100q: %w", name, ErrName)
		}
	}
	return base + "_v", base + "_d", nil
}

// Get implements Cache.
func (r *Redis) Get(ctx context.Context, name string) (Record, error) {
	v, d, err := r.keys(name)
	if err != nil {
		return absent, err
	}
	values, err := r.client.MGet(ctx, v, d).Result()
	if err != nil {
		return absent, fmt.Errorf("read record %.100q from redis: %w", name, err)
	}
	return parseRecord(name, values[0], values[1])
}

// parseRecord reads what MGET answers. Others may have written it.
func parseRecord(name string, v, d any) (Record, error) {
	version, ok := v.(string)
	if !ok {
		return absent, nil
	}
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return absent, fmt.Errorf("record %.100q has version %.100q in redis: %w", name, version, ErrData)
	}
	data, ok := d.(string)
	if !ok {
		data = "null"
	}
	if !json.Valid([]byte(data)) { // nobody who gets it could read it
		return absent, fmt.Errorf("record %.100q has data in redis that is not JSON: %w", name, ErrData)
	}
	return Record{Version: n, Data: data}, nil
}

// CompareAndPut implements Cache.
func (r *Redis) CompareAndPut(ctx context.Context, name string, old int64, rec Record) (Record, bool, error) {
	v, d, err := r.keys(name)
	if err != nil {
		return absent, false, err
	}
	answer, err := compareAndPut.Run(ctx, r.client, []string{v, d},
		old, rec.Version, rec.Data, int64(r.config.TTL/time.Second)).Slice()
	if err != nil {
		return absent, false, fmt.Errorf("write record %.100q to redis: %w", name, err)
	}
	if len(answer) != 3 {
		return absent, false, fmt.Errorf("write record %.100q to redis: answer of %d parts", name, len(answer))
	}
	if won, _ := answer[0].(int64); won == 1 {
		return rec, true, nil
	}
	current, err := parseRecord(name, answer[1], answer[2])
	return current, false, err
}

// Put implements Cache.
func (r *Redis) Put(ctx context.Context, name string, rec Record) error {
	v, d, err := r.keys(name)
	if err != nil {
		return err
	}
	if r.config.TTL == 0 {
		err = r.client.MSet(ctx, v, rec.Version, d, rec.Data).Err()
	} else {
		_, err = r.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, v, rec.Version, r.config.TTL)
			p.Set(ctx, d, rec.Data, r.config.TTL)
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("write record %.100q to redis: %w", name, err)
	}
	return nil
}

// Delete implements Cache.
func (r *Redis) Delete(ctx context.Context, names ...string) error {
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, name := range names {
			v, d, err := r.keys(name)
			if err != nil {
				return err
			}
			p.Del(ctx, v, d)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete records from redis: %w", err)
	}
	return nil
}

// Versions implements Cache.
func (r *Redis) Versions(ctx context.Context, names []string) ([]int64, error) {
	versions := make([]int64, len(names))
	answers := make([]*redis.StringCmd, len(names))
	_, _ = r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			if v, _, err := r.keys(name); err == nil {
				answers[i] = p.Get(ctx, v)
			}
		}
		return nil
	}) // each answer has its error
	for i, a := range answers {
		versions[i] = Missing
		if a == nil {
			continue
		}
		text, err := a.Result()
		switch {
		case err == redis.Nil || redis.HasErrorPrefix(err, "WRONGTYPE"):
		case err != nil:
			return nil, fmt.Errorf("read versions from redis: %w", err)
		default:
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				versions[i] = n
			}
		}
	}
	return versions, nil
}

// Generation implements Cache: it is the run ids of all masters.
func (r *Redis) Generation(ctx context.Context) (string, error) {
	var mu sync.Mutex
	var ids []string
	ask := func(ctx context.Context, c *redis.Client) error {
		info, err := c.InfoMap(ctx, "server").Result()
		if err != nil {
			return err
		}
		id := info["Server"]["run_id"]
		if id == "" {
			return errors.New("INFO tells no run_id")
		}
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, id)
		return nil
	}
	var err error
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, ask)
	case *redis.Client:
		err = ask(ctx, c)
	default:
		err = fmt.Errorf("a %T is not known", c)
	}
	if err != nil {
		return "", fmt.Errorf("ask which redis it is: %w", err)
	}
	slices.Sort(ids)
	return strings.Join(ids, " "), nil
}

// Close implements Cache.
func (r *Redis) Close() error { return r.client.Close() }
