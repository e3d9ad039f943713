#include <algorithm>
#include <set>

#include "kernels/base/nearest.h"

#include "json_impl.h"

namespace kernels::detail {

namespace {

/// The keys of one object. Most objects have few, which are looked through faster than a tree is built; one
/// of many, which may be hostile, gets a tree.
class KeySet {
 public:
  /// False if it is there already.
  bool insert(const std::string& key) {
    constexpr std::size_t kFew = 16;
    if (!many_.empty()) return many_.insert(key).second;
    if (std::ranges::find(few_, key) != few_.end()) return false;
    few_.push_back(key);
    if (few_.size() > kFew) many_.insert(few_.begin(), few_.end());
    return true;
  }
  std::size_t size() const { return many_.empty() ? few_.size() : many_.size(); }

 private:
  std::vector<std::string> few_;
  std::set<std::string> many_;
};

/// Builds the document and watches for what nlohmann's own builder lets pass: keys given twice, deep nesting.
class StrictBuilder {
 public:
  StrictBuilder(Json& root, const JsonLimits& limits)
      : builder_(root, /*allow_exceptions=*/false), limits_(limits) {}

  bool null() { return count() && builder_.null(); }
  bool boolean(bool value) { return count() && builder_.boolean(value); }
  bool number_integer(Json::number_integer_t value) { return count() && builder_.number_integer(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return count() && builder_.number_unsigned(value); }
  bool number_float(Json::number_float_t value, const std::string& text) {
    return count() && builder_.number_float(value, text);
  }
  bool string(std::string& value) { return count() && builder_.string(value); }
  bool binary(Json::binary_t& value) { return count() && builder_.binary(value); }
  bool start_object(std::size_t size) {
    keys_.emplace_back();
    return count() && descend() && builder_.start_object(size);
  }
  bool key(std::string& value) {
    if (!keys_.back().insert(value)) {
      complaint_ = "the key `" + value + "` is given twice in one object";
      return false;
    }
    if (keys_.back().size() > limits_.members) {
      complaint_ = "more than " + std::to_string(limits_.members) + " members in one object";
      return false;
    }
    return builder_.key(value);
  }
  bool end_object() {
    keys_.pop_back();
    --depth_;
    return builder_.end_object();
  }
  bool start_array(std::size_t size) { return count() && descend() && builder_.start_array(size); }
  bool end_array() {
    --depth_;
    return builder_.end_array();
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) {
    position_ = position;
    complaint_ = error.what();
    return false;
  }

  std::string complaint() const { return complaint_; }
  std::optional<std::size_t> position() const { return position_; }

 private:
  bool descend() {
    if (++depth_ <= limits_.levels) return true;
    complaint_ = "nested deeper than " + std::to_string(limits_.levels) + " levels";
    return false;
  }
  bool count() {
    if (++values_ <= limits_.values) return true;
    complaint_ = "more than " + std::to_string(limits_.values) + " values";
    return false;
  }
  nlohmann::detail::json_sax_dom_parser<Json> builder_;
  std::vector<KeySet> keys_;
  JsonLimits limits_;
  int depth_ = 0;
  std::size_t values_ = 0;
  std::string complaint_;
  std::optional<std::size_t> position_;
};

/// nlohmann's message is "[json.exception…] parse error at line 3, column 7: syntax error while … - reason;
/// …".
std::string shorten(const std::string& message) {
  auto line = message.find("at line ");
  if (line == std::string::npos) return message;
  auto end = message.find("; last read", line);
  return message.substr(line, end == std::string::npos ? end : end - line);
}

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& what, const JsonLimits& limits) {
  Json root;
  StrictBuilder builder(root, limits);
  bool good = false;
  try {
    good = Json::sax_parse(text, &builder);
  } catch (const Json::exception& error) {  // such as a number out of range
    return fail(Errc::corrupt, what + " is not valid JSON: " + error.what());
  }
  if (good) return root;
  if (text.find("<<<<<<<") != std::string_view::npos && text.find(">>>>>>>") != std::string_view::npos)
    return fail(Error(Errc::corrupt, what + " holds merge-conflict markers")
                    .with_hint("resolve the conflict, then run `kernels lock`"));
  return fail(Errc::corrupt, what + " is not valid JSON: " + shorten(builder.complaint()));
}

static const Json& empty_array() {
  static const Json value = Json::array();
  return value;
}

static const Json& empty_object() {
  static const Json value = Json::object();
  return value;
}

ObjectReader::ObjectReader(const Json& object, std::string what) : what_(std::move(what)) {
  if (object.is_object())
    object_ = &object;
  else
    complaint_ = Error(Errc::corrupt, what_ + " should be an object, but is " + object.type_name());
}

const Json* ObjectReader::find(const char* key) {
  known_.emplace_back(key);
  if (object_ == nullptr) return nullptr;
  auto found = object_->find(key);
  return found == object_->end() ? nullptr : &*found;
}

bool ObjectReader::has(const char* key) const {
  return object_ != nullptr && object_->contains(key);
}

bool ObjectReader::is_null(const char* key) const {
  return !has(key) || object_->at(key).is_null();
}

void ObjectReader::complain(Error error) {
  if (complaint_) return;
  // A bad name in a file that a machine wrote is not a slip of the person who runs the command.
  auto code = error.code() == Errc::invalid_argument ? Errc::corrupt : error.code();
  complaint_ = std::move(error).while_doing("reading " + what_).as(code);
}

void ObjectReader::wrong_type(const char* key, const char* expected) {
  bool missing = !has(key);
  complain(Error(Errc::corrupt, std::string("`") + key + "` should be " + expected +
                                    (missing ? ", but is missing"
                                             : std::string(", but is ") + object_->at(key).type_name())));
}

std::string ObjectReader::text(const char* key) {
  const auto* value = find(key);
  if (value != nullptr && value->is_string()) return value->get<std::string>();
  wrong_type(key, "a string");
  return {};
}

std::optional<std::string> ObjectReader::optional_text(const char* key) {
  const auto* value = find(key);
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  wrong_type(key, "a string");
  return std::nullopt;
}

std::string ObjectReader::text_or(const char* key, std::string fallback) {
  return optional_text(key).value_or(std::move(fallback));
}

std::uint64_t ObjectReader::number(const char* key) {
  const auto* value = find(key);
  if (value != nullptr && value->is_number_unsigned()) return value->get<std::uint64_t>();
  wrong_type(key, "a whole number that is not negative");
  return 0;
}

std::optional<std::uint64_t> ObjectReader::optional_number(const char* key) {
  const auto* value = find(key);
  if (value == nullptr || value->is_null()) return std::nullopt;
  return number(key);
}

bool ObjectReader::flag_or(const char* key, bool fallback) {
  const auto* value = find(key);
  if (value == nullptr || value->is_null()) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  wrong_type(key, "true or false");
  return fallback;
}

const Json& ObjectReader::array_or_empty(const char* key) {
  const auto* value = find(key);
  if (value == nullptr || value->is_null()) return empty_array();
  if (value->is_array()) return *value;
  wrong_type(key, "an array");
  return empty_array();
}

const Json& ObjectReader::array(const char* key) {
  if (!has(key)) wrong_type(key, "an array");
  return array_or_empty(key);
}

const Json& ObjectReader::object_or_empty(const char* key) {
  const auto* value = find(key);
  if (value == nullptr || value->is_null()) return empty_object();
  if (value->is_object()) return *value;
  wrong_type(key, "an object");
  return empty_object();
}

const Json& ObjectReader::object(const char* key) {
  if (!has(key)) wrong_type(key, "an object");
  return object_or_empty(key);
}

std::vector<std::string> ObjectReader::texts_or_empty(const char* key) {
  std::vector<std::string> out;
  for (const auto& item : array_or_empty(key)) {
    if (item.is_string())
      out.push_back(item.get<std::string>());
    else
      wrong_type(key, "an array of strings");
  }
  return out;
}

void ObjectReader::refuse_unknown() {
  if (object_ == nullptr) return;
  for (const auto& [key, value] : object_->items()) {
    if (std::ranges::find(known_, key) != known_.end()) continue;
    auto guess = nearest(key, known_);
    complain(Error(Errc::corrupt, "unknown key `" + key + "`")
                 .with_hint(guess ? "did you mean `" + *guess + "`?" : ""));
  }
}

Status ObjectReader::status() const {
  if (complaint_) return std::unexpected(*complaint_);
  return {};
}

}  // namespace kernels::detail
