#include "view_matrix.h"

#include <algorithm>
#include <set>

#include "json_values.h"
#include "text.h"

namespace kernels::app {

using resolve::CoverageCell;
using resolve::CoverageRow;
using resolve::CoverageTable;
using Rows = std::vector<std::vector<std::string>>;

namespace {

/// So many backends beside each other that a cell still has room for the name of a capability list.
constexpr std::size_t kBackendsAbreast = 5;

bool is_for_any_backend(const CoverageTable& table) {
  bool single = table.os.empty() && table.columns.size() == 1 && table.cells.size() == 1;
  const auto* cell = single ? &table.cells[0][0] : nullptr;
  return cell != nullptr && cell->chosen && cell->chosen->variant.noarch_name == "universal";
}

std::string column_title(const CoverageTable& table, std::size_t column) {
  return is_for_any_backend(table) ? "any backend" : table.columns[column].display();
}

std::string row_title(const CoverageTable& table, std::size_t row) {
  // Python-only builds do not ask for torch: where there are only they, the row is not about it.
  bool is_only = table.rows.size() == 1 && table.rows[0] == CoverageRow{};
  return is_only ? "any" : table.rows[row].display();
}

std::string title(const ops::KernelCoverage& kernel, const CoverageTable& table) {
  std::string out = plain(kernel.repo_id.empty() ? kernel.path : kernel.repo_id);
  if (table.version)
    out += ", version " + std::to_string(*table.version);
  else if (!table.name.empty())
    out += ", revision " + plain(table.name);
  return out + (table.os.empty() ? ", any platform" : ", " + plain(table.os) + " " + plain(table.cpu));
}

/// What kind of build it is: `cu128`, `abi 2.9 cu126`, `Python`.
std::string build_of(const resolve::DeclaredVariant& build) {
  const auto& variant = build.variant;
  if (variant.framework == Framework::noarch) return "Python";
  std::string abi =
      variant.framework == Framework::torch_stable ? "abi " + variant.framework_version.str() + " " : "";
  return abi + variant.backend.tag();
}

std::string capabilities_of(const CoverageCell& cell) {
  return cell.is_unknown() ? "?" : plain_words(cell.chosen->archs, " ");
}

std::string cell_text(const CoverageCell& cell, const char* between) {
  if (cell.is_hole()) return "—";
  auto capabilities = capabilities_of(cell);
  return build_of(*cell.chosen) + (capabilities.empty() ? "" : between + capabilities);
}

/// Some columns of a table; the first row is the header.
Rows rows_of(const CoverageTable& table, std::size_t first, std::size_t count, const char* between) {
  Rows out = {{"torch"}};
  for (std::size_t column = first; column < first + count; ++column)
    out[0].push_back(column_title(table, column));
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    auto& line = out.emplace_back(std::vector<std::string>{row_title(table, row)});
    for (std::size_t column = first; column < first + count; ++column)
      line.push_back(cell_text(table.cells[row][column], between));
  }
  return out;
}

/// What is to be said about builds, each once: variant and remark.
Rows remarks_of(const CoverageTable& table) {
  Rows out;
  std::set<std::string> seen;
  for (const auto& row : table.cells)
    for (const auto& cell : row)
      if (!cell.missing.empty() && seen.insert(cell.chosen->variant.name()).second)
        out.push_back({plain(cell.chosen->variant.name()), "no code for " + plain_words(cell.missing)});
  for (const auto& name : table.unreachable)
    out.push_back({plain(name), "no machine can choose it"});
  if (table.left_out > 0)
    out.push_back({"and more", counted(table.left_out, "older row or column") + " left out"});
  return out;
}

/// Counts the cells of a table that hold nothing.
std::size_t holes_in(const CoverageTable& table) {
  std::size_t out = 0;
  for (const auto& row : table.cells)
    out += static_cast<std::size_t>(std::ranges::count_if(row, &CoverageCell::is_hole));
  return out;
}

std::string table_text(const CoverageTable& table) {
  std::string out;
  for (std::size_t first = 0; first < table.columns.size(); first += kBackendsAbreast) {
    auto count = std::min(kBackendsAbreast, table.columns.size() - first);
    out += (first > 0 ? "\n" : "") + table_within(kTableColumns, rows_of(table, first, count, "\n"));
  }
  auto remarks = remarks_of(table);
  if (!remarks.empty()) out += "\n" + table_within(kTableColumns, remarks);
  return out;
}

const char* const kLegend =
    "A cell is the build that a machine of its row and column chooses, with the GPU capabilities that its\n"
    "metadata declares. abi 2.9: for torch's stable ABI 2.9; cu126: for CUDA 12.6; Python: not compiled;\n"
    "?: the metadata does not say; —: a hole, no build fits.\n";

/// `|` ends a cell, and names of others may hold one.
std::string markdown_cell(const std::string& text) {
  std::string out;
  for (char c : text)
    out += (c == '|' || c == '<' || c == '`' ? std::string("\\") : std::string()) + c;
  return out;
}

std::string markdown_table(const Rows& rows) {
  std::string out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const auto& cell : rows[i])
      out += "| " + markdown_cell(cell) + " ";
    out += "|\n";
    for (std::size_t column = 0; i == 0 && column < rows[i].size(); ++column)
      out += "|---";
    if (i == 0) out += "|\n";
  }
  return out;
}

Json cell_json(const CoverageTable& table, std::size_t row, std::size_t column) {
  const auto& cell = table.cells[row][column];
  const auto& machine = table.rows[row];
  const auto& backend = table.columns[column];
  Json out = Json::object();
  out["torch"] = or_null(machine.torch);
  out["cxx11_abi"] = machine.cxx11_abi ? Json(*machine.cxx11_abi) : Json(nullptr);
  out["tvm_ffi"] = or_null(machine.tvm_ffi);
  out["backend"] = is_for_any_backend(table) ? Json(nullptr) : Json(backend.name());
  out["backend_version"] = or_null(backend.version);
  out["variant"] = cell.chosen ? Json(cell.chosen->variant.name()) : Json(nullptr);
  out["capabilities"] = cell.chosen && !cell.is_unknown() ? Json(cell.chosen->archs) : Json(nullptr);
  out["missing_capabilities"] = cell.missing;
  return out;
}

Json table_json(const CoverageTable& table) {
  Json out = Json::object();
  out["version"] = table.version ? Json(*table.version) : Json(nullptr);
  out["revision"] = table.name.empty() ? Json(nullptr) : Json(table.name);
  out["os"] = table.os.empty() ? Json(nullptr) : Json(table.os);
  out["cpu"] = table.cpu.empty() ? Json(nullptr) : Json(table.cpu);
  out["holes"] = holes_in(table);
  out["cells"] = Json::array();
  for (std::size_t row = 0; row < table.rows.size(); ++row)
    for (std::size_t column = 0; column < table.columns.size(); ++column)
      out["cells"].push_back(cell_json(table, row, column));
  out["unreachable"] = table.unreachable;
  out["left_out"] = table.left_out;
  return out;
}

}  // namespace

std::string matrix_text(const std::vector<ops::KernelCoverage>& kernels) {
  std::string out;
  bool any = false;
  for (const auto& kernel : kernels) {
    for (const auto& table : kernel.coverage.tables) {
      out += (out.empty() ? "" : "\n") + title(kernel, table) + " (" + counted(holes_in(table), "hole") +
             ")\n\n";
      out += table_text(table);
      any = true;
    }
    if (kernel.coverage.tables.empty())
      out += (out.empty() ? "" : "\n") + plain(kernel.repo_id.empty() ? kernel.path : kernel.repo_id) +
             ": no build variants\n";
  }
  return any ? out + "\n" + kLegend : out;
}

std::string matrix_markdown(const std::vector<ops::KernelCoverage>& kernels) {
  std::string out;
  for (const auto& kernel : kernels)
    for (const auto& table : kernel.coverage.tables) {
      out += (out.empty() ? "### " : "\n### ") + markdown_cell(title(kernel, table)) + "\n\n";
      out += markdown_table(rows_of(table, 0, table.columns.size(), ": "));
      auto remarks = remarks_of(table);
      if (!remarks.empty()) out += "\n";
      for (const auto& remark : remarks)
        out += "- " + markdown_cell(remark[0]) + ": " + markdown_cell(remark[1]) + "\n";
    }
  return out.empty() ? "No build variants.\n" : out + "\n" + kLegend;
}

std::string matrix_json(const std::vector<ops::KernelCoverage>& kernels) {
  Json out = Json::object();
  out["schema"] = "kernels.matrix/1";
  out["kernels"] = Json::array();
  for (const auto& kernel : kernels) {
    bool is_folder = kernel.repo_id.empty();
    Json item = Json::object();
    item[is_folder ? "path" : "repo_id"] = is_folder ? kernel.path : kernel.repo_id;
    item["tables"] = Json::array();
    for (const auto& table : kernel.coverage.tables)
      item["tables"].push_back(table_json(table));
    out["kernels"].push_back(std::move(item));
  }
  return printed(out);
}

}  // namespace kernels::app
