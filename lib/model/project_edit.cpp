#include "kernels/model/project_edit.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "project_toml_impl.h"

namespace kernels {

namespace {

bool has_capability(DeviceType device) {
  return device == DeviceType::cuda || device == DeviceType::rocm;
}

std::string quoted(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += kHex[byte >> 4U];
      out += kHex[byte & 0xfU];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

using Fields = std::vector<std::pair<std::string, std::string>>;

/// What a row has to say of its kernel's version, beside what the dependencies say.
Fields requirement_fields(const Project& project, const ProjectLayer& row) {
  auto found = std::ranges::find(project.dependencies, row.repo, &ProjectDependency::repo);
  bool is_dependency = found != project.dependencies.end();
  auto derived = is_dependency ? found->requirement : Requirement::of_revision("main");
  Fields out;
  if (row.requirement != derived) {
    if (const auto* number = row.requirement.version()) out.emplace_back("version", std::to_string(*number));
    if (const auto* set = row.requirement.specifier()) out.emplace_back("version", quoted(set->str()));
    if (const auto* name = row.requirement.revision()) out.emplace_back("revision", quoted(*name));
  }
  if (row.trust && !(is_dependency && found->trust)) out.emplace_back("trust", "true");
  return out;
}

Fields fields_of(const Project& project, const ProjectLayer& row) {
  Fields out = {{"repo", quoted(row.repo.str())}};
  if (row.kernel_layer != row.layer) out.emplace_back("layer", quoted(row.kernel_layer));
  if (row.mode != Mode::fallback) out.emplace_back("mode", quoted(row.mode.str()));
  const CapabilityRange all;
  if (row.capabilities.min != all.min)
    out.emplace_back("min-capability", std::to_string(row.capabilities.min));
  if (row.capabilities.max != all.max)
    out.emplace_back("max-capability", std::to_string(row.capabilities.max));
  for (auto& field : requirement_fields(project, row))
    out.push_back(std::move(field));
  return out;
}

std::string inline_text(const Fields& fields) {
  std::string out;
  for (const auto& [key, value] : fields)
    out += (out.empty() ? "{ " : ", ") + key + " = " + value;
  return out + " }";
}

/// Changes to a text, made all at once.
class TextEdit {
 public:
  explicit TextEdit(std::string_view text)
      : text_(text), newline_(text.find("\r\n") != text.npos ? "\r\n" : "\n") {
    for (std::size_t i = 0; i < text.size(); ++i)
      if (text[i] == '\n') lines_.push_back(i + 1);
  }

  const std::string& newline() const { return newline_; }
  std::size_t offset(toml::source_position at) const {
    return std::min(lines_.at(at.line - 1) + at.column - 1, text_.size());
  }
  std::size_t line_begin(std::size_t offset) const {
    return *std::prev(std::ranges::upper_bound(lines_, offset));
  }
  /// Behind the line feed, or at the end of the text.
  std::size_t line_end(std::size_t offset) const {
    auto next = std::ranges::upper_bound(lines_, offset);
    return next == lines_.end() ? text_.size() : *next;
  }
  std::string_view slice(const toml::source_region& region) const {
    return text_.substr(offset(region.begin), offset(region.end) - offset(region.begin));
  }
  std::string_view between(std::size_t begin, std::size_t end) const {
    return text_.substr(begin, end - begin);
  }
  /// The blanks with which the line of a place begins.
  std::string indent(std::size_t offset) const {
    auto line = text_.substr(line_begin(offset));
    return std::string(line.substr(0, std::min(line.find_first_not_of(" \t"), line.size())));
  }
  bool begins_line(std::size_t offset) const {
    return between(line_begin(offset), offset).find_first_not_of(" \t") == std::string_view::npos;
  }

  void replace(std::size_t begin, std::size_t end, std::string with) {
    changes_.push_back({.begin = begin, .end = end, .text = std::move(with)});
  }
  void replace(const toml::source_region& region, std::string with) {
    replace(offset(region.begin), offset(region.end), std::move(with));
  }
  /// Whole lines, each with its line feed, behind the line of a place.
  void insert_below(std::size_t offset, const std::string& lines) {
    auto end = line_end(offset);
    bool is_open = end == text_.size() && (end == 0 || text_[end - 1] != '\n');
    replace(end, end, (is_open ? newline_ : "") + lines);
  }

  std::string result() {
    std::ranges::stable_sort(changes_, {},
                             [](const Change& change) { return std::pair(change.begin, change.end); });
    std::string out;
    std::size_t at = 0;
    for (const auto& change : changes_) {
      out += text_.substr(at, change.begin - at);
      out += change.text;
      at = change.end;
    }
    out += text_.substr(at);
    return out;
  }

 private:
  struct Change {
    std::size_t begin;
    std::size_t end;
    std::string text;
  };
  std::string_view text_;
  std::string newline_;
  std::vector<std::size_t> lines_ = {0};
  std::vector<Change> changes_;
};

/// How a row or a list of rows is written.
enum class Form { header, list_header, braces, brackets, dotted };

class LayerEditor {
 public:
  LayerEditor(std::string_view text, const Project& project, const LayerSelection& selection)
      : edit_(text), project_(project), selection_(selection) {}

  Form form_of(const toml::node& node) const {
    auto text = edit_.slice(node.source());
    if (text.starts_with("[[")) return Form::list_header;
    if (text.starts_with("[")) return node.is_array() ? Form::brackets : Form::header;
    return text.starts_with("{") ? Form::braces : Form::dotted;
  }

  /// The row at a node gets another kernel.
  bool change(const toml::table& table, const ProjectLayer& row) {
    auto text = edit_.slice(table.source());
    auto begin = edit_.offset(table.source().begin);
    if (text.starts_with("{")) {
      put_evidence(begin);
      edit_.replace(table.source(), inline_text(fields_of(project_, row)));
      return true;
    }
    if (!text.starts_with("[")) return false;
    put_evidence(begin);
    change_keys(table, row);
    return true;
  }

  /// Rows are added beside those of `node`, the first of them with the evidence.
  bool add(const toml::node& node, const std::vector<ProjectLayer>& rows) {
    switch (form_of(node)) {
      case Form::header:
        edit_.replace(node.source(), "[" + std::string(edit_.slice(node.source())) + "]");
        add_blocks(*node.as_table(), "[" + std::string(edit_.slice(node.source())) + "]", rows);
        return true;
      case Form::list_header: {
        const auto& last = *node.as_array()->back().as_table();
        add_blocks(last, std::string(edit_.slice(last.source())), rows);
        return true;
      }
      case Form::braces: {
        auto begin = edit_.offset(node.source().begin);
        auto margin = edit_.indent(begin);
        auto break_ = edit_.newline() + margin;
        edit_.replace(node.source(), "[" + break_ + "  " + std::string(edit_.slice(node.source())) + "," +
                                         edit_.newline() + elements(margin + "  ", rows) + margin + "]");
        return true;
      }
      case Form::brackets:
        add_in_front(*node.as_array(), rows);
        return true;
      case Form::dotted:
        break;
    }
    return false;
  }

  std::string result() { return edit_.result(); }

 private:
  std::string evidence(const std::string& margin) const {
    std::string out;
    for (const auto& line : selection_.evidence) {
      out += margin + std::string(kEvidenceMark);
      for (char c : line)
        out += c < ' ' || c > '~' ? '?' : c;
      out += edit_.newline();
    }
    return out;
  }

  /// Above the line in which something begins, in place of older evidence there.
  void put_evidence(std::size_t offset) {
    auto margin = edit_.indent(offset);
    if (!edit_.begins_line(offset) &&
        edit_.between(edit_.line_begin(offset), offset).find('[') != std::string_view::npos) {
      // Within a list on one line.
      edit_.replace(offset, offset, edit_.newline() + evidence(margin + "  ") + margin + "  ");
      return;
    }
    auto begin = edit_.line_begin(offset);
    auto first = begin;
    while (first > 0) {
      auto above = edit_.line_begin(first - 1);
      auto line = edit_.between(above, first);
      line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
      if (!line.starts_with(kEvidenceMark)) break;
      first = above;
    }
    edit_.replace(first, begin, evidence(margin));
  }

  void remove_line(const toml::table& table, std::string_view key) {
    for (const auto& [name, value] : table)
      if (name.str() == key)
        edit_.replace(edit_.line_begin(edit_.offset(name.source().begin)),
                      edit_.line_end(edit_.offset(value.source().end)), "");
  }

  void change_keys(const toml::table& table, const ProjectLayer& row) {
    const auto& repo = table.get("repo")->source();
    edit_.replace(repo, quoted(row.repo.str()));
    std::string below;
    auto margin = edit_.indent(edit_.offset(repo.begin));
    auto put = [&](const std::string& key, const std::string& value) {
      below += margin + key + " = " + value + edit_.newline();
    };
    if (const auto* layer = table.get("layer"))
      edit_.replace(layer->source(), quoted(row.kernel_layer));
    else if (row.kernel_layer != row.layer)
      put("layer", quoted(row.kernel_layer));
    auto wanted = requirement_fields(project_, row);
    for (const char* key : {"version", "revision", "trust"}) {
      auto found = std::ranges::find(wanted, key, &Fields::value_type::first);
      const auto* there = table.get(key);
      if (there == nullptr && found != wanted.end()) put(key, found->second);
      if (there != nullptr && found != wanted.end()) edit_.replace(there->source(), found->second);
      if (there != nullptr && found == wanted.end()) remove_line(table, key);
    }
    if (!below.empty()) edit_.insert_below(edit_.offset(repo.begin), below);
  }

  void add_blocks(const toml::table& last, const std::string& header, const std::vector<ProjectLayer>& rows) {
    auto margin = edit_.indent(edit_.offset(last.source().begin));
    auto end = edit_.offset(last.source().begin);
    for (const auto& [key, value] : last)
      end = std::max(end, edit_.offset(value.source().begin));
    std::string text;
    for (const auto& row : rows) {
      text += edit_.newline();
      if (&row == &rows.front()) text += evidence(margin);
      text += margin + header + edit_.newline();
      for (const auto& [key, value] : fields_of(project_, row))
        text += margin + key + " = " + value + edit_.newline();
    }
    edit_.insert_below(end, text);
  }

  /// Elements of a list, each with its comma and line feed.
  std::string elements(const std::string& margin, const std::vector<ProjectLayer>& rows) const {
    auto text = evidence(margin);
    for (const auto& row : rows)
      text += margin + inline_text(fields_of(project_, row)) + "," + edit_.newline();
    return text;
  }

  void add_in_front(const toml::array& list, const std::vector<ProjectLayer>& rows) {
    auto open = edit_.offset(list.source().begin) + 1;
    auto margin = edit_.indent(open) + "  ";
    auto rest = edit_.between(open, edit_.line_end(open));
    auto next = rest.find_first_not_of(" \t\r\n");
    if (next == std::string_view::npos || rest[next] == '#')
      edit_.replace(edit_.line_end(open), edit_.line_end(open), elements(margin, rows));
    else
      edit_.replace(open, open + next, edit_.newline() + elements(margin, rows) + margin);
  }

  TextEdit edit_;
  const Project& project_;
  const LayerSelection& selection_;
};

ProjectLayer selected_row(ProjectLayer row, const LayerSelection& selection) {
  row.repo = selection.repo;
  row.kernel_layer = selection.kernel_layer;
  row.requirement = selection.requirement;
  row.trust = selection.trust;
  return row;
}

/// What the selection changes: one row, or rows that are added.
struct Wanted {
  std::vector<ProjectLayer> layers;      ///< all of the project, afterwards
  std::optional<std::size_t> changed;    ///< index in the project's rows
  std::vector<ProjectLayer> added = {};  ///< the selected one first
};

Result<Wanted> wanted_rows(const Project& project, const LayerSelection& selection) {
  if (has_capability(selection.device) && !selection.capability)
    return fail(Errc::invalid_argument,
                "a kernel is selected for one capability of " + to_string(selection.device));
  auto rows = rows_in_effect(project, selection.layer, selection.device, selection.capability);
  auto found = std::ranges::find(rows, selection.mode, &ProjectLayer::mode);
  if (found == rows.end())
    return fail(Errc::invalid_argument, "`" + project.file + "` does not map `" + selection.layer + "` on " +
                                            to_string(selection.device) + " for the mode `" +
                                            selection.mode.str() + "`");
  Wanted out{.layers = project.layers, .changed = std::nullopt, .added = {}};
  CapabilityRange exact = (*found)->capabilities;
  if (selection.capability) exact = {.min = *selection.capability, .max = *selection.capability};
  if ((*found)->capabilities == exact) {
    out.changed = static_cast<std::size_t>(*found - project.layers.data());
    out.layers[*out.changed] = selected_row(**found, selection);
    return out;
  }
  out.added.push_back(selected_row(**found, selection));
  for (const auto* row : rows)
    if (row != *found) out.added.push_back(*row);
  for (auto& row : out.added) {
    row.capabilities = exact;
    out.layers.push_back(row);
  }
  return out;
}

/// What a row means, wherever it stands.
auto meaning(const ProjectLayer& row) {
  return std::tuple(row.layer, row.device, row.mode, row.capabilities, row.repo, row.kernel_layer,
                    row.requirement.display(), row.trust);
}

bool means(const Project& project, std::vector<ProjectLayer> wanted) {
  auto rows = project.layers;
  std::ranges::stable_sort(rows, {}, meaning);
  std::ranges::stable_sort(wanted, {}, meaning);
  return std::ranges::equal(rows, wanted, {}, meaning, meaning);
}

const toml::node* device_node(const toml::table& tables, const LayerSelection& selection) {
  const auto* layers = tables.get("layers");
  const auto* layer = layers == nullptr ? nullptr : layers->as_table()->get(selection.layer);
  return layer == nullptr ? nullptr : layer->as_table()->get(to_string(selection.device));
}

/// Which of the rows of its layer and device a row of the project is: they stand in the order of the file.
std::size_t place_among(const Project& project, std::size_t index) {
  const auto& row = project.layers[index];
  return static_cast<std::size_t>(std::ranges::count_if(
      project.layers.begin(), project.layers.begin() + static_cast<std::ptrdiff_t>(index),
      [&](const ProjectLayer& other) { return other.layer == row.layer && other.device == row.device; }));
}

}  // namespace

std::vector<const ProjectLayer*> rows_in_effect(const Project& project, std::string_view layer,
                                                DeviceType device, std::optional<std::uint32_t> capability) {
  if (!has_capability(device)) capability.reset();
  auto rank = [](CapabilityRange range) {
    return std::pair(static_cast<std::int64_t>(range.max) - range.min, -static_cast<std::int64_t>(range.min));
  };
  std::map<Mode, const ProjectLayer*> rows;
  std::optional<CapabilityRange> narrowest;
  for (const auto& row : project.layers) {
    if (row.layer != layer || row.device != device) continue;
    if (capability ? !row.capabilities.contains(*capability) : row.capabilities != CapabilityRange{})
      continue;
    if (narrowest && rank(*narrowest) < rank(row.capabilities)) continue;
    if (narrowest != row.capabilities) rows.clear();
    narrowest = row.capabilities;
    rows.insert_or_assign(row.mode, &row);
  }
  std::vector<const ProjectLayer*> out;
  for (const auto& [mode, row] : rows)
    out.push_back(row);
  return out;
}

Result<std::string> select_layer(std::string_view text, ProjectFormat format, const std::string& file,
                                 const LayerSelection& selection) {
  auto project = parse_project(text, format, file);
  if (!project) return fail(std::move(project).error());
  auto wanted = wanted_rows(*project, selection);
  if (!wanted) return fail(std::move(wanted).error());
  auto root = detail::parse_project_toml(text, file);
  if (!root) return fail(std::move(root).error());
  auto tables = detail::own_tables(*root, format, file);
  if (!tables) return fail(std::move(tables).error());
  const auto* node = device_node(**tables, selection);
  LayerEditor editor(text, *project, selection);
  bool is_done = false;
  if (node != nullptr && wanted->changed) {
    const auto* list = node->as_array();
    const auto* row =
        list == nullptr ? node->as_table() : list->at(place_among(*project, *wanted->changed)).as_table();
    is_done = editor.change(*row, wanted->layers[*wanted->changed]);
  } else if (node != nullptr) {
    is_done = editor.add(*node, wanted->added);
  }
  if (is_done) {
    auto changed = editor.result();
    auto again = parse_project(changed, format, file);
    if (again && means(*again, wanted->layers)) return changed;
  }
  auto row = wanted->changed ? wanted->layers[*wanted->changed] : wanted->added.front();
  return fail(Error(Errc::invalid_argument, "the mapping of `" + selection.layer + "` in `" + file +
                                                "` is written in a form that this program cannot change")
                  .with_hint("write it by hand: `" + inline_text(fields_of(*project, row)) + "`"));
}

}  // namespace kernels
