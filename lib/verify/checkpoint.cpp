#include <algorithm>
#include <charconv>

#include "kernels/base/hash.h"
#include "kernels/base/utf8.h"

#include "log_entry_impl.h"

namespace kernels::verify {

namespace {

constexpr std::size_t kMostLines = 64;
constexpr std::size_t kHint = 4;

/// Cuts the text up to the next newline off; nothing if there is none.
std::optional<std::string_view> take_line(std::string_view& text) {
  auto end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  auto line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

bool is_decimal(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t value = 0;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  bool plain = is_decimal(text) && (text.size() == 1 || text.front() != '0');
  if (!plain || parsed.ec != std::errc()) return std::nullopt;
  return value;
}

/// `— <name> <base64 of hint and signature>`.
std::optional<Checkpoint::Line> parse_signature(std::string_view line) {
  constexpr std::string_view kDash = "\xe2\x80\x94 ";
  if (!line.starts_with(kDash)) return std::nullopt;
  line.remove_prefix(kDash.size());
  auto space = line.find(' ');
  if (space == std::string_view::npos || space == 0) return std::nullopt;
  auto value = from_base64(line.substr(space + 1));
  if (!value || value->size() <= kHint) return std::nullopt;
  auto hint_end = value->begin() + kHint;
  return Checkpoint::Line{.name = line.substr(0, space),
                          .hint = Bytes(value->begin(), hint_end),
                          .signature = Bytes(hint_end, value->end())};
}

/// Rekor v2 signs under its host's name, Rekor v1 adds the number of the tree.
bool is_origin_of(const Log& log, std::string_view origin) {
  if (origin == log.host) return true;
  auto tree = log.host + " - ";
  return log.kind != KeyKind::ed25519 && origin.starts_with(tree) && is_decimal(origin.substr(tree.size()));
}

bool is_signed_by_log(const Checkpoint::Line& line, const Checkpoint& checkpoint, const Log& log) {
  auto key = parse_key(log.key, log.kind);
  return key && line.name == log.host &&
         is_signed_by(key->get(), log.kind, bytes_of(checkpoint.text), line.signature, Digest::sha256);
}

/// Every line with the hint of the log's key must be good, and there must be one.
bool is_signed_by_log(const Checkpoint& checkpoint, const Log& log) {
  bool found = false;
  for (const auto& line : checkpoint.lines) {
    if (log.id.size() < kHint || !std::equal(line.hint.begin(), line.hint.end(), log.id.begin())) continue;
    if (!is_signed_by_log(line, checkpoint, log)) return false;
    found = true;
  }
  return found;
}

}  // namespace

Result<Checkpoint> parse_checkpoint(std::string_view envelope) {
  auto gap = envelope.find("\n\n");
  if (gap == std::string_view::npos || envelope.find("\n\n", gap + 1) != std::string_view::npos ||
      !is_utf8(envelope) || !envelope.ends_with('\n'))
    return fail(refuse("the checkpoint is not a text and signatures with one empty line between them"));
  Checkpoint out;
  out.text = envelope.substr(0, gap + 1);
  auto text = out.text;
  auto origin = take_line(text);
  auto size = take_line(text);
  auto root = take_line(text);
  auto number = size ? parse_size(*size) : std::nullopt;
  auto hash = from_base64(root.value_or(""));
  if (!origin || origin->empty() || !number || !hash || hash->size() != sizeof(Sha256))
    return fail(refuse("the checkpoint does not begin with an origin, a size and a root"));
  out.origin = *origin;
  out.size = *number;
  out.root = std::move(*hash);
  auto rest = envelope.substr(gap + 2);
  while (auto line = take_line(rest)) {
    auto signature = parse_signature(*line);
    if (!signature || out.lines.size() == kMostLines)
      return fail(refuse("the checkpoint has a malformed signature line, or more than 64"));
    out.lines.push_back(std::move(*signature));
  }
  return out;
}

Status check_checkpoint(const LogEntry& entry, const std::vector<const Log*>& logs,
                        const std::vector<Milliseconds>& times) {
  auto checkpoint = parse_checkpoint(entry.proof.checkpoint);
  if (!checkpoint) return fail(std::move(checkpoint).error());
  if (!std::ranges::equal(checkpoint->root, entry.proof.root) || checkpoint->size != entry.proof.tree_size)
    return fail(refuse("the checkpoint is about another tree than the inclusion proof"));
  for (const auto* log : logs) {
    bool was_valid = std::ranges::all_of(times, [&](auto time) { return log->validity.holds(time); });
    if (was_valid && is_origin_of(*log, checkpoint->origin) && is_signed_by_log(*checkpoint, *log)) return {};
  }
  return fail(refuse("the checkpoint is not signed by the log, or not while its key was valid"));
}

}  // namespace kernels::verify
