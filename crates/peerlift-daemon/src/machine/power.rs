//! Whether the machine runs on its battery: `/sys/class/power_supply` (Linux, *power_supply ABI*).

use std::fs;
use std::path::Path;

/// Whether it runs on battery. A machine without a battery, or that says nothing, does not.
pub(super) fn on_battery(supplies: &Path) -> bool {
    let Ok(found) = fs::read_dir(supplies) else {
        return false;
    };
    let mut discharging = false;
    for supply in found.flatten().map(|entry| entry.path()) {
        let says = |file: &str| fs::read_to_string(supply.join(file)).unwrap_or_default();
        // The batteries of mice and pens do not run the machine.
        if says("scope").trim() == "Device" {
            continue;
        }
        match says("type").trim() {
            "Mains" | "USB" if says("online").trim() == "1" => return false,
            "Battery" => discharging |= says("status").trim() == "Discharging",
            _ => {}
        }
    }
    discharging
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(folder: &Path, name: &str, files: &[(&str, &str)]) {
        fs::create_dir_all(folder.join(name)).unwrap();
        for (file, text) in files {
            fs::write(folder.join(name).join(file), format!("{text}\n")).unwrap();
        }
    }

    #[test]
    fn the_battery_counts_only_without_mains() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(!on_battery(&root.join("nowhere")));
        supply(
            root,
            "mouse",
            &[
                ("type", "Battery"),
                ("scope", "Device"),
                ("status", "Discharging"),
            ],
        );
        assert!(!on_battery(root));
        supply(
            root,
            "BAT0",
            &[("type", "Battery"), ("status", "Discharging")],
        );
        assert!(on_battery(root));
        supply(root, "AC", &[("type", "Mains"), ("online", "0")]);
        assert!(on_battery(root));
        supply(root, "AC", &[("type", "Mains"), ("online", "1")]);
        assert!(!on_battery(root));
    }
}
