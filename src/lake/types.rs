//! The types of columns: what they are called, and which of them holds all values of which other. Pure.

use arrow::datatypes::{DataType, TimeUnit};

/// The type as pipelines write it, where they can; otherwise as Arrow does.
pub(super) fn word(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "text".to_owned(),
        DataType::Int64 => "int".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::Float64 => "float".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => "timestamp".to_owned(),
        other => other.to_string(),
    }
}

/// Whether every value of type `old` is a value of type `new`, and means the same there.
pub(super) fn widens(old: &DataType, new: &DataType) -> bool {
    use DataType::{Decimal128, Float32, Float64};
    match (old, new) {
        (old, new) if old == new => true,
        (Decimal128(precision, scale), Decimal128(new_precision, new_scale)) => {
            let whole = i16::from(*precision) - i16::from(*scale);
            new_scale >= scale && i16::from(*new_precision) - i16::from(*new_scale) >= whole
        }
        (Float32, Float64) => true,
        (old, Decimal128(precision, scale)) => {
            integer_digits(old).is_some_and(|digits| i16::from(*precision) - i16::from(*scale) >= digits)
        }
        (old, new) => integer_digits(old).zip(integer_digits(new)).is_some_and(|(old, new)| old <= new),
    }
}

/// Whether numbers are kept in it.
pub(super) fn is_number(data_type: &DataType) -> bool {
    let exact = matches!(data_type, DataType::Decimal128(_, _) | DataType::Float32 | DataType::Float64);
    exact || integer_digits(data_type).is_some()
}

/// The decimal digits that every value of a signed integer type has room in.
fn integer_digits(data_type: &DataType) -> Option<i16> {
    match data_type {
        DataType::Int8 => Some(3),
        DataType::Int16 => Some(5),
        DataType::Int32 => Some(10),
        DataType::Int64 => Some(19),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::schema::instant_type;

    #[test]
    fn what_widens_and_what_does_not() {
        use DataType::{Boolean, Float32, Float64, Int16, Int32, Int64, Utf8};
        let decimal = DataType::Decimal128;
        let wide = [
            (Int16, Int32),
            (Int32, Int64),
            (Int64, decimal(19, 0)),
            (Int64, decimal(25, 6)),
            (decimal(10, 2), decimal(11, 2)),
            (decimal(10, 2), decimal(18, 6)),
            (Float32, Float64),
        ];
        for (old, new) in wide {
            assert!(widens(&old, &new), "{old} -> {new}");
            assert!(!widens(&new, &old), "{new} -> {old}");
        }
        let other = [
            (Int64, decimal(18, 0)),
            (Int64, decimal(18, 6)),
            (Int64, Float64),
            (decimal(10, 2), decimal(10, 4)),
            (decimal(18, 6), decimal(18, 2)),
            (decimal(10, 0), Int64),
            (Boolean, Int64),
            (Int64, Utf8),
            (Utf8, Int64),
            (instant_type(), Int64),
        ];
        for (old, new) in other {
            assert!(!widens(&old, &new), "{old} -> {new}");
        }
        assert!(widens(&Utf8, &Utf8));
    }

    #[test]
    fn types_are_called_as_pipelines_call_them() {
        let types = [DataType::Int64, DataType::Decimal128(18, 6), instant_type(), DataType::Utf8, DataType::Int16];
        assert_eq!(types.map(|data_type| word(&data_type)), ["int", "decimal(18, 6)", "timestamp", "text", "Int16"]);
    }
}
