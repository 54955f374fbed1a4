//! A column of texts as a column of another kind, by the rules that hold for text in an answer.

use arrow::array::{ArrayRef, StringArray};

use super::cell::{Scalar, read};
use super::rows::Growing;
use crate::pipeline::ColumnKind;
use crate::pipeline::schema::data_type;

/// A text that is no value of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongText {
    /// Its place in the column.
    pub row: usize,
    /// What would have been right.
    pub expected: String,
}

/// `texts` as values of `kind`: exact or not at all. Null stays null; empty text is null but for text columns.
pub fn column_of_texts(kind: ColumnKind, texts: &StringArray) -> Result<ArrayRef, WrongText> {
    let mut column = Growing::new(&data_type(kind));
    for (row, text) in texts.iter().enumerate() {
        let scalar = text.map_or(Scalar::Null, |text| Scalar::Text(text.into()));
        let value = read(kind, scalar).map_err(|expected| WrongText { row, expected })?;
        let pushed = column.push(value);
        pushed.ok_or_else(|| WrongText { row, expected: "less than 2 GiB of text".to_owned() })?;
    }
    Ok(column.finish())
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Decimal128Type, Int64Type};

    use super::*;

    #[test]
    fn texts_become_values_exactly_or_not_at_all() {
        let texts = StringArray::from(vec![Some("12"), None, Some(""), Some(" 7 ")]);
        let found = column_of_texts(ColumnKind::Int, &texts).expect("numbers");
        let found: Vec<Option<i64>> = found.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(found, [Some(12), None, None, Some(7)]);

        let money = ColumnKind::Decimal { precision: 6, scale: 2 };
        let found = column_of_texts(money, &StringArray::from(vec!["1.50"])).expect("a decimal");
        assert_eq!(found.as_primitive::<Decimal128Type>().values(), &[150]);
        let error = column_of_texts(money, &StringArray::from(vec!["1", "1.505"])).expect_err("a digit too many");
        assert_eq!(error, WrongText { row: 1, expected: "a number with at most 2 digits after the point".to_owned() });
    }
}
