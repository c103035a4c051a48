//! Country codes and English names, as they trail the entries of published lists.
//!
//! Used to tell a trailing country from a user name and to label the entry with it (a claim of the list, never checked against
//! the exit), and to read the countries that flags name.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The two-letter code (lower case) that `text` stands for: an assigned ISO 3166 code in either case, or an English name.
pub fn code(text: &str) -> Option<&'static str> {
    let mut lower = [0; MAX_NAME];
    let lower = lower.get_mut(..text.len())?;
    lower.copy_from_slice(text.as_bytes());
    lower.make_ascii_lowercase();
    CODES.get(std::str::from_utf8(lower).ok()?).copied()
}

/// Longest name of the table, in bytes, rounded up: longer texts are not looked up.
const MAX_NAME: usize = 64;

static CODES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let mut codes = HashMap::new();
    for (code, names) in TABLE.split(';').filter_map(|entry| entry.split_once('=')) {
        codes.insert(code, code);
        codes.extend(names.split('|').map(|name| (name, code)));
    }
    codes
});

const TABLE: &str = "\
ad=andorra;ae=united arab emirates|uae;af=afghanistan;ag=antigua and barbuda;ai=anguilla;\
al=albania;am=armenia;ao=angola;aq=antarctica;ar=argentina;as=american samoa;at=austria;\
au=australia;aw=aruba;ax=aland islands|åland islands;az=azerbaijan;\
ba=bosnia and herzegovina|bosnia;bb=barbados;bd=bangladesh;be=belgium;bf=burkina faso;\
bg=bulgaria;bh=bahrain;bi=burundi;bj=benin;bl=saint barthelemy;bm=bermuda;\
bn=brunei|brunei darussalam;bo=bolivia|bolivia, plurinational state of;bq=caribbean nl;\
br=brazil;bs=bahamas|the bahamas;bt=bhutan;bv=bouvet island;bw=botswana;by=belarus;bz=belize;\
ca=canada;cc=cocos islands;\
cd=dr congo|congo, the democratic republic of the|democratic republic of the congo;\
cf=central african republic;cg=congo|republic of the congo;ch=switzerland;\
ci=côte d'ivoire|cote d'ivoire|ivory coast;ck=cook islands;cl=chile;cm=cameroon;cn=china;\
co=colombia;cr=costa rica;cu=cuba;cv=cape verde|cabo verde;cw=curaçao|curacao;\
cx=christmas island;cy=cyprus;cz=czechia|czech republic;de=germany;dj=djibouti;dk=denmark;\
dm=dominica;do=dominican republic;dz=algeria;ec=ecuador;ee=estonia;eg=egypt;eh=western sahara;\
er=eritrea;es=spain;et=ethiopia;fi=finland;fj=fiji;fk=falkland islands;fm=micronesia;\
fo=faroe islands;fr=france;ga=gabon;gb=united kingdom|great britain|uk|england;gd=grenada;\
ge=georgia;gf=french guiana;gg=guernsey;gh=ghana;gi=gibraltar;gl=greenland;gm=gambia|the gambia;\
gn=guinea;gp=guadeloupe;gq=equatorial guinea;gr=greece;gs=south georgia;gt=guatemala;gu=guam;\
gw=guinea-bissau;gy=guyana;hk=hong kong;hm=heard island;hn=honduras;hr=croatia;ht=haiti;\
hu=hungary;id=indonesia;ie=ireland;il=israel;im=isle of man;in=india;\
io=british indian ocean territory;iq=iraq;ir=iran|iran, islamic republic of;is=iceland;it=italy;\
je=jersey;jm=jamaica;jo=jordan;jp=japan;ke=kenya;kg=kyrgyzstan;kh=cambodia;ki=kiribati;\
km=comoros;kn=saint kitts and nevis;kp=north korea;\
kr=south korea|korea|republic of korea|korea, republic of;kw=kuwait;ky=cayman islands;\
kz=kazakhstan;la=laos|lao people's democratic republic;lb=lebanon;lc=saint lucia;\
li=liechtenstein;lk=sri lanka;lr=liberia;ls=lesotho;lt=lithuania;lu=luxembourg;lv=latvia;\
ly=libya;ma=morocco;mc=monaco;md=moldova|republic of moldova|moldova, republic of;me=montenegro;\
mf=saint martin;mg=madagascar;mh=marshall islands;mk=north macedonia|macedonia;ml=mali;\
mm=myanmar|burma;mn=mongolia;mo=macau|macao;mp=northern mariana islands;mq=martinique;\
mr=mauritania;ms=montserrat;mt=malta;mu=mauritius;mv=maldives;mw=malawi;mx=mexico;my=malaysia;\
mz=mozambique;na=namibia;nc=new caledonia;ne=niger;nf=norfolk island;ng=nigeria;ni=nicaragua;\
nl=netherlands|the netherlands;no=norway;np=nepal;nr=nauru;nu=niue;nz=new zealand;om=oman;\
pa=panama;pe=peru;pf=french polynesia;pg=papua new guinea;ph=philippines|the philippines;\
pk=pakistan;pl=poland;pm=saint pierre and miquelon;pn=pitcairn;pr=puerto rico;\
ps=palestine|palestinian territory;pt=portugal;pw=palau;py=paraguay;qa=qatar;re=réunion|reunion;\
ro=romania;rs=serbia;ru=russia|russian federation;rw=rwanda;sa=saudi arabia;sb=solomon islands;\
sc=seychelles;sd=sudan;se=sweden;sg=singapore;sh=saint helena;si=slovenia;\
sj=svalbard and jan mayen;sk=slovakia;sl=sierra leone;sm=san marino;sn=senegal;so=somalia;\
sr=suriname;ss=south sudan;st=sao tome and principe|são tomé and príncipe;sv=el salvador;\
sx=sint maarten;sy=syria|syrian arab republic;sz=eswatini|swaziland;tc=turks and caicos islands;\
td=chad;tf=french southern territories;tg=togo;th=thailand;tj=tajikistan;tk=tokelau;\
tl=timor-leste|east timor;tm=turkmenistan;tn=tunisia;to=tonga;tr=turkey|türkiye|turkiye;\
tt=trinidad and tobago;tv=tuvalu;tw=taiwan|taiwan, province of china;\
tz=tanzania|tanzania, united republic of;ua=ukraine;ug=uganda;um=us minor outlying islands;\
us=united states|united states of america|usa;uy=uruguay;uz=uzbekistan;va=vatican|vatican city;\
vc=saint vincent and the grenadines;ve=venezuela|venezuela, bolivarian republic of;\
vg=british virgin islands;vi=u.s. virgin islands|us virgin islands;vn=vietnam|viet nam;\
vu=vanuatu;wf=wallis and futuna;ws=samoa;ye=yemen;yt=mayotte;za=south africa;zm=zambia;\
zw=zimbabwe;xk=kosovo";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_known_in_any_case() {
        for (text, expected) in [
            ("US", Some("us")),
            ("de", Some("de")),
            ("The Netherlands", Some("nl")),
            ("south korea", Some("kr")),
            ("zz", None),
            ("Peruvia", None),
            ("", None),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
        assert!(CODES.keys().all(|name| name.len() <= MAX_NAME));
        assert!(CODES.len() > 500, "{}", CODES.len());
    }
}
