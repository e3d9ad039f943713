#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>

#include "kernels/base/hash.h"

#include "protobuf_json_impl.h"

namespace kernels::verify {

namespace {

constexpr std::size_t kMostBytes = 1U << 20U;
constexpr int kMostLevels = 16;

bool is_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// The number at a place of a text of fixed form; nothing unless all characters are digits.
std::optional<int> number_at(std::string_view text, std::size_t begin, std::size_t length) {
  auto part = text.substr(begin, length);
  if (!is_digits(part)) return std::nullopt;
  int value = 0;
  std::from_chars(part.data(), part.data() + part.size(), value);
  return value;
}

/// `.5` to `.123456789` as milliseconds, the rest cut off; nothing for another form.
std::optional<Milliseconds> parse_fraction(std::string_view text) {
  if (text.empty()) return 0;
  auto digits = text.substr(1);
  if (text.front() != '.' || !is_digits(digits) || digits.size() > 9) return std::nullopt;
  std::string padded(digits.substr(0, 3));
  padded.resize(3, '0');
  return number_at(padded, 0, 3);
}

std::optional<std::uint64_t> parse_integer(ObjectReader& reader, const char* key, const std::string& text) {
  std::uint64_t value = 0;
  auto end = text.data() + text.size();
  auto parsed = std::from_chars(text.data(), end, value);
  bool in_range = value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (is_digits(text) && text.size() <= 19 && parsed.ec == std::errc() && parsed.ptr == end && in_range)
    return value;
  reader.complain(Error(Errc::corrupt, std::string("`") + key + "` is not a number of up to 19 digits"));
  return std::nullopt;
}

}  // namespace

Result<Json> parse_document(std::string_view text, const std::string& what) {
  if (text.size() > kMostBytes)
    return fail(Errc::corrupt, what + " has " + std::to_string(text.size()) + " bytes; at most " +
                                   std::to_string(kMostBytes) + " are read");
  if (text.starts_with("\xef\xbb\xbf")) return fail(Errc::corrupt, what + " begins with a byte order mark");
  auto document = detail::parse_json(text, what, {.levels = kMostLevels});
  if (document && !document->is_object()) return fail(Errc::corrupt, what + " is not a JSON object");
  return document;
}

Bytes read_bytes(ObjectReader& reader, const char* key) {
  auto bytes = from_base64(reader.text(key));
  if (bytes && !bytes->empty()) return std::move(*bytes);
  reader.complain(Error(Errc::corrupt, std::string("`") + key + "` is not base64, or empty"));
  return {};
}

std::optional<Bytes> read_optional_bytes(ObjectReader& reader, const char* key) {
  if (!reader.optional_text(key)) return std::nullopt;
  return read_bytes(reader, key);
}

static Sha256 to_hash(ObjectReader& reader, const char* key, const Bytes& bytes) {
  Sha256 out = {};
  if (bytes.size() == out.size())
    std::ranges::copy(bytes, out.begin());
  else
    reader.complain(Error(Errc::corrupt, std::string("`") + key + "` is not a hash of 32 bytes"));
  return out;
}

Sha256 read_hash(ObjectReader& reader, const char* key) {
  return to_hash(reader, key, read_bytes(reader, key));
}

std::uint64_t read_integer(ObjectReader& reader, const char* key) {
  return parse_integer(reader, key, reader.text(key)).value_or(0);
}

std::optional<std::uint64_t> read_optional_integer(ObjectReader& reader, const char* key) {
  auto text = reader.optional_text(key);
  if (!text) return std::nullopt;
  return parse_integer(reader, key, *text);
}

std::optional<Milliseconds> parse_time(std::string_view text) {
  using namespace std::chrono;
  constexpr std::string_view kForm = "0000-00-00T00:00:00";
  if (text.size() <= kForm.size() || text.back() != 'Z') return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i)
    if (kForm[i] != '0' && text[i] != kForm[i]) return std::nullopt;
  auto year_number = number_at(text, 0, 4);
  auto month_number = number_at(text, 5, 2);
  auto day_number = number_at(text, 8, 2);
  auto hour = number_at(text, 11, 2);
  auto minute = number_at(text, 14, 2);
  auto second = number_at(text, 17, 2);
  auto fraction = parse_fraction(text.substr(kForm.size(), text.size() - kForm.size() - 1));
  if (!year_number || !month_number || !day_number || !hour || !minute || !second || !fraction)
    return std::nullopt;
  year_month_day date(year(*year_number), month(static_cast<unsigned>(*month_number)),
                      day(static_cast<unsigned>(*day_number)));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  auto seconds =
      sys_days(date).time_since_epoch() + hours(*hour) + minutes(*minute) + std::chrono::seconds(*second);
  return duration_cast<milliseconds>(seconds).count() + *fraction;
}

}  // namespace kernels::verify
